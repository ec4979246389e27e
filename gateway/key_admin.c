/* key_admin.c - a key follows from its operation id, its secret from that and the pepper, so an operation that is repeated
 * gives the same key and never two; only the secret's hash is recorded. A change names what it sets, and what it does not name stays. */
#include "gateway/key_admin.h"

#include <stdlib.h>

#include "billing/setting.h"
#include "gateway/catalogue_load.h"
#include "gateway/key_terms.h"
#include "gateway/operation.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX (2048 + ACCESS_BYTES_MAX)

/* A change of a key, while what it depends on is being read. */
struct key_change {
    struct turn *turn;
    enum setting_form form;
    struct key_state state;   /* as the key is to be */
    struct key_state present; /* as it is, when it is there */
    char public_id[KEY_ID_PUBLIC];
    enum pepper_role role;     /* under which a new one's secret is derived and hashed */
    struct key_state hashed;   /* of a key that is given another hash: that, and its pepper */
    json_t *names;             /* what is changed of a key that is there, or null */
    struct key_access *access; /* of what is named, or of a new key */
    json_t *opens;             /* all that a key that is there opens then */
    bool is_repeated;
    struct buf record;
};

static bool read_creation(const json_t *body, struct key_change *k, struct err *err);
static bool read_owner(const json_t *body, struct key_state *k, struct err *err);
static void name_key(const struct console *c, const char *op, struct key_change *k);
static void change_start(struct console *c, struct http_request *r, const struct key_change *wanted,
                         const char *op);
static void on_turn(void *arg);
static void on_present_key(void *arg, bool found, const struct key_state *state,
                           const struct err *err);
static bool take_present(struct key_change *k, const struct key_state *state, struct err *err);
static struct partition partition_of_owner(const struct key_change *k);
static void look(struct key_change *k);
static void derive(const struct key_change *k, struct api_key *out);
static void hash_new(struct key_change *k);
static const struct peppers *peppers_of(const struct key_change *k);
static void on_operation(void *arg, enum operation_seen seen, const struct err *err);
static void reply_other(const struct key_change *k);
static void find_owner(struct key_change *k);
static void decide_change(struct key_change *k);
static void decide_revocation(struct key_change *k);
static void decide_hash(struct key_change *k);
static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err);
static void on_creators(void *arg, struct catalogue *catalogue, const struct err *err);
static void post(struct key_change *k);
static void write_record(struct key_change *k);
static void write_creation(struct jw *w, const struct key_change *k);
static void write_change(struct jw *w, const struct key_change *k);
static void write_revocation(struct jw *w, const struct key_change *k);
static void write_hash(struct jw *w, const struct key_change *k);
static void write_answer(const struct key_change *k, struct buf *out);
static void write_secret(const struct key_change *k, struct buf *out);
static void change_clear(struct key_change *k);
static void change_free(void *arg);

static void (*const decide[])(struct key_change *) = {
    [SETTING_CREATE] = find_owner,
    [SETTING_LIMIT] = decide_change,
    [SETTING_REVOKE] = decide_revocation,
    [SETTING_HASH] = decide_hash,
};
static void (*const write_values[])(struct jw *, const struct key_change *) = {
    [SETTING_CREATE] = write_creation,
    [SETTING_LIMIT] = write_change,
    [SETTING_REVOKE] = write_revocation,
    [SETTING_HASH] = write_hash,
};

void key_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct key_change change = {.form = SETTING_CREATE};
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_creation(body, &change, &err)) {
        change_clear(&change);
        reply_err(r, &err);
        return;
    }
    name_key(c, op, &change);
    change_start(c, r, &change, op);
}

static bool read_creation(const json_t *body, struct key_change *k, struct err *err)
{
    static const char *const members[] = {"account", "creator",    "expires_at",   "rpm",
                                          "tpm",     "budget_day", "budget_month", "scopes",
                                          "models",  "ips",        "op",           NULL};

    return json_only_members(body, members, "the key", err) && read_owner(body, &k->state, err) &&
           key_expiry_read(body, &k->state, err) && key_expiry_is_ahead(&k->state, err) &&
           key_limits_read(body, &k->state, err) &&
           key_opens_read(body, k->state.owner_kind, &k->access, err);
}

static bool read_owner(const json_t *body, struct key_state *k, struct err *err)
{
    const char *account = NULL, *creator = NULL;

    if (!json_get_string_or(body, "account", &account, "the key", err) ||
        !json_get_string_or(body, "creator", &creator, "the key", err))
        return false;
    if (!account == !creator)
        return err_set(err, ERR_INPUT, "a key belongs either to an 'account' or to a 'creator'");
    k->owner_kind = account ? 'a' : 'c';
    return (id_is_valid(span_of(account ? account : creator)) &&
            span_copy(span_of(account ? account : creator), k->owner, sizeof k->owner)) ||
           err_set(err, ERR_INPUT, "'%.80s' is no id: 1 to 64 of A-Z a-z 0-9 . _ -",
                   account ? account : creator);
}

/* The public id is the same under every pepper. */
static void name_key(const struct console *c, const char *op, struct key_change *k)
{
    struct key_origin from = {k->state.owner_kind, c->installation->id, k->state.owner, op};
    AUTO_CLEAR(api_key) key = {0};

    api_key_derive(&from, &c->installation->peppers.of[PEPPER_IN_USE].secret, &key);
    memcpy(k->public_id, key.public_id, sizeof k->public_id);
}

/* Takes what `wanted` owns. */
static void change_start(struct console *c, struct http_request *r, const struct key_change *wanted,
                         const char *op)
{
    static const struct turn_handlers handlers = {on_turn, change_free};
    struct key_change *k = xcalloc(1, sizeof *k);

    *k = *wanted;
    buf_init(&k->record, RECORD_MAX);
    turn_new(c, r, &(struct turn_ask){"key", k->public_id, op}, &handlers, k, &k->turn);
}

static void on_turn(void *arg)
{
    struct key_change *k = arg;

    if (k->form == SETTING_CREATE)
        look(k);
    else
        key_read(turn_console(k->turn)->ledger.redis, k->public_id, on_present_key, k);
}

static void look(struct key_change *k)
{
    if (k->form == SETTING_CREATE)
        hash_new(k);
    buf_truncate(&k->record, 0);
    write_record(k);
    operation_look(turn_console(k->turn)->ledger.redis,
                   &(struct operation_ask){RECORD_KEY, k->public_id, partition_of_owner(k),
                                           buf_span(&k->record), false},
                   on_operation, k);
}

static void hash_new(struct key_change *k)
{
    AUTO_CLEAR(api_key) key = {0};

    derive(k, &key);
    key_hash_under(&key, &peppers_of(k)->of[k->role], &k->state);
}

static void derive(const struct key_change *k, struct api_key *out)
{
    struct key_origin from = {k->state.owner_kind, turn_console(k->turn)->installation->id,
                              k->state.owner, turn_op(k->turn)};

    api_key_derive(&from, &peppers_of(k)->of[k->role].secret, out);
}

static const struct peppers *peppers_of(const struct key_change *k)
{
    return &turn_console(k->turn)->installation->peppers;
}

static struct partition partition_of_owner(const struct key_change *k)
{
    return partition_of(SIDE_ACCOUNT, span_of(k->state.owner));
}

/* An operation may have made its key before the pepper was changed. */
static void on_operation(void *arg, enum operation_seen seen, const struct err *err)
{
    struct key_change *k = arg;
    struct http_request *r = turn_request(k->turn);

    if (err) {
        turn_refuse(k->turn, err);
    } else if (r && seen == OPERATION_OTHER && k->form == SETTING_CREATE &&
               peppers_next(peppers_of(k), &k->role)) {
        look(k);
    } else if (!r || seen == OPERATION_OTHER) {
        if (r)
            reply_other(k);
        turn_end(k->turn);
    } else if (seen == OPERATION_SAME) {
        k->is_repeated = true;
        if (k->form != SETTING_CREATE)
            k->state = k->present;
        post(k);
    } else {
        decide[k->form](k);
    }
}

static void reply_other(const struct key_change *k)
{
    if (k->form == SETTING_CREATE)
        key_reply_other(turn_request(k->turn), turn_op(k->turn), k->public_id);
    else
        operation_reply_other(turn_request(k->turn), turn_op(k->turn));
}

/* A key is made for an owner that there is. A creator's is looked for anew: a catalogue may have been applied a moment ago. */
static void find_owner(struct key_change *k)
{
    struct redis *redis = turn_console(k->turn)->ledger.redis;

    if (k->state.owner_kind == 'a')
        account_read(redis, k->state.owner, on_owner, k);
    else
        catalogue_load(redis, on_creators, k);
}

static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err)
{
    struct key_change *k = arg;
    struct err absent;

    if (!err && !(found && state->opened)) {
        err_set(&absent, ERR_NOT_FOUND,
                "there is no account '%s'; open it with 'tollgate account create'", k->state.owner);
        err = &absent;
    }
    if (err)
        turn_refuse(k->turn, err);
    else
        post(k);
}

static void on_creators(void *arg, struct catalogue *catalogue, const struct err *err)
{
    struct key_change *k = arg;
    struct err absent;

    if (!err && !(catalogue && catalogue_creator(catalogue, k->state.owner))) {
        err_set(&absent, ERR_NOT_FOUND, "there is no creator '%s'; apply a catalogue that names it",
                k->state.owner);
        err = &absent;
    }
    if (err)
        turn_refuse(k->turn, err);
    else
        post(k);
    catalogue_free(catalogue);
}

/* Answers; unless it is a repetition, once the record is written. */
static void post(struct key_change *k)
{
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};

    if (k->form == SETTING_CREATE)
        write_secret(k, &answer);
    else
        write_answer(k, &answer);
    if (k->is_repeated || !turn_request(k->turn))
        turn_reply(k->turn, &answer);
    else
        turn_post(k->turn,
                  &(struct journal_change){RECORD_KEY, buf_span(&k->record), partition_of_owner(k)},
                  buf_span(&answer));
    explicit_bzero(answer.data, answer.len);
}

static void write_secret(const struct key_change *k, struct buf *out)
{
    AUTO_CLEAR(api_key) key = {0};
    struct jw w;

    derive(k, &key);
    jw_init(&w, out);
    key_secret_write(&w, &k->state, &key);
    if (k->is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
}

/* The key as it is then, without its hash. */
static void write_answer(const struct key_change *k, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "key", k->public_id);
    jw_string_member(&w, "owner_kind", k->state.owner_kind == 'a' ? "account" : "creator");
    jw_string_member(&w, "owner", k->state.owner);
    key_state_write(&w, &k->state, k->opens);
    jw_string_member(&w, "op", turn_op(k->turn));
    if (k->is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
}

static void write_record(struct key_change *k)
{
    struct console *c = turn_console(k->turn);
    struct jw w;

    jw_init(&w, &k->record);
    jw_object(&w);
    jw_string_member(&w, "key", k->public_id);
    write_values[k->form](&w, k);
    jw_int_member(&w, "revision", console_revision(c));
    jw_time_member(&w, "at", journal_now(c->ledger.journal));
    jw_string_member(&w, "op", turn_op(k->turn));
    jw_object_end(&w);
}

static void write_creation(struct jw *w, const struct key_change *k)
{
    key_owner_write(w, &k->state);
    key_changes_write(w, &k->state, k->access, NULL);
}

static void write_change(struct jw *w, const struct key_change *k)
{
    key_changes_write(w, &k->state, k->access, k->names);
}

static void write_hash(struct jw *w, const struct key_change *k)
{
    key_hash_write(w, &k->state);
}

static void write_revocation(struct jw *w, const struct key_change *k)
{
    (void)k;
    jw_string_member(w, "state", "revoked");
}

static void change_clear(struct key_change *k)
{
    json_decref(k->names);
    json_decref(k->opens);
    key_access_free(k->access);
}

static void change_free(void *arg)
{
    struct key_change *k = arg;

    change_clear(k);
    buf_clear(&k->record);
    free(k);
}

/* ------------------------------------------------------------------ of a key that is there */

static void change_named(struct console *c, struct http_request *r, const char *public_id,
                         const char *const *members);
static void change_key(struct console *c, struct http_request *r, const char *public_id,
                       struct key_change *change, const char *op);
static void take_hash(const struct key_state *from, struct key_state *to);

void key_revoke_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct key_change change = {.form = SETTING_REVOKE};

    if (body)
        change_key(server, r, match->value[0], &change, op);
}

void key_limit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"rpm", "tpm", "budget_day", "budget_month", "op", NULL};

    change_named(server, r, match->value[0], members);
}

void key_update_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"scopes", "models", "ips", "expires_at", "op", NULL};

    change_named(server, r, match->value[0], members);
}

static void change_named(struct console *c, struct http_request *r, const char *public_id,
                         const char *const *members)
{
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct key_change change = {.form = SETTING_LIMIT, .names = body};
    struct err err;

    if (!body)
        return;
    if (json_only_members(body, members, "the change", &err) &&
        (json_object_size(body) > 1 || err_set(&err, ERR_INPUT, "nothing was given to be changed")))
        change_key(c, r, public_id, &change, op);
    else
        reply_err(r, &err);
}

static void change_key(struct console *c, struct http_request *r, const char *public_id,
                       struct key_change *change, const char *op)
{
    if (!key_id_read(r, public_id, change->public_id))
        return;
    json_incref(change->names);
    change_start(c, r, change, op);
}

bool key_id_read(struct http_request *r, const char *text, char public_id[KEY_ID_PUBLIC])
{
    if (span_copy(span_of(text), public_id, KEY_ID_PUBLIC) &&
        strlen(public_id) == KEY_ID_PUBLIC - 1)
        return true;
    reply_problem(r, CALLER_NOT_FOUND,
                  "'%.40s' is no public id of a key: 12 characters, the part after sk-tg-", text);
    return false;
}

static void on_present_key(void *arg, bool found, const struct key_state *state,
                           const struct err *err)
{
    struct key_change *k = arg;
    struct err wrong;

    if (!err && !found) {
        err_set(&wrong, ERR_NOT_FOUND, "there is no key %s", k->public_id);
        err = &wrong;
    }
    if (!err && !take_present(k, state, &wrong))
        err = &wrong;
    if (err)
        turn_refuse(k->turn, err);
    else
        look(k);
}

/* And what becomes of it. */
static bool take_present(struct key_change *k, const struct key_state *state, struct err *err)
{
    k->state = *state;
    k->state.access = SPAN(""); /* the text ends with this call */
    k->present = k->state;
    if (k->form == SETTING_HASH)
        take_hash(&k->hashed, &k->state);
    if (state->access.len && !(k->opens = json_parse(state->access, err)))
        return false;
    return !k->names || (key_limits_read(k->names, &k->state, err) &&
                         key_expiry_read(k->names, &k->state, err) &&
                         key_opens_read(k->names, k->state.owner_kind, &k->access, err));
}

static void decide_change(struct key_change *k)
{
    struct err err;
    const char *name;
    json_t *value;

    if (k->state.revoked)
        err_set(&err, ERR_EXISTS, "key %s has been revoked", k->public_id);
    if (k->state.revoked ||
        (json_object_get(k->names, "expires_at") && !key_expiry_is_ahead(&k->state, &err))) {
        turn_refuse(k->turn, &err);
        return;
    }
    if (!k->opens)
        k->opens = json_object();
    json_object_foreach(k->names, name, value) json_object_set(k->opens, name, value);
    post(k);
}

/* One that was revoked stays so. */
static void decide_revocation(struct key_change *k)
{
    k->is_repeated = k->state.revoked;
    k->state.revoked = true;
    post(k);
}

/* ------------------------------------------------------------------ another hash */

static bool read_hash(const struct console *c, const json_t *body, struct key_state *out,
                      struct err *err);

void key_hash_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct key_change change = {.form = SETTING_HASH};
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct err err;

    if (!body)
        return;
    if (read_hash(c, body, &change.hashed, &err))
        change_key(c, r, match->value[0], &change, op);
    else
        reply_err(r, &err);
}

static bool read_hash(const struct console *c, const json_t *body, struct key_state *out,
                      struct err *err)
{
    static const char *const members[] = {"hash", "pepper", "op", NULL};
    const char *hash, *pepper;

    if (!json_only_members(body, members, "the hash", err) ||
        !json_get_string(body, "hash", &hash, "the hash", err) ||
        !json_get_string(body, "pepper", &pepper, "the hash", err))
        return false;
    if (strcmp(pepper, c->installation->peppers.of[PEPPER_IN_USE].id) != 0)
        return err_set(err, ERR_EXISTS, "another pepper is in use by now");
    return (hex_decode(span_of(hash), out->hash, sizeof out->hash) &&
            span_copy(span_of(pepper), out->pepper, sizeof out->pepper)) ||
           err_set(err, ERR_INPUT, "'hash' is not 64 hex digits");
}

static void take_hash(const struct key_state *from, struct key_state *to)
{
    memcpy(to->hash, from->hash, sizeof to->hash);
    memcpy(to->pepper, from->pepper, sizeof to->pepper);
}

/* Another host's may have come first; one that was revoked needs none. */
static void decide_hash(struct key_change *k)
{
    k->is_repeated = k->state.revoked || strcmp(k->present.pepper, k->hashed.pepper) == 0;
    post(k);
}
