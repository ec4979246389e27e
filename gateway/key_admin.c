/* key_admin.c - a key is derived from its operation id and the pepper, so an operation that is repeated gives the same key
 * and never two; only its hash is recorded. */
#include "gateway/key_admin.h"

#include <stdlib.h>

#include "billing/setting.h"
#include "gateway/account_terms.h"
#include "gateway/catalogue_load.h"
#include "gateway/operation.h"
#include "gateway/scan.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX (2048 + ACCESS_BYTES_MAX)
#define ANSWER_MAX (8 * 1024 * 1024)

/* A change of a key, while what it depends on is being read. */
struct key_change {
    struct turn *turn;
    enum setting_form form;
    struct key_state state;   /* as the key is to be */
    struct key_state present; /* as it is, when it is there */
    char public_id[KEY_ID_PUBLIC];
    struct key_access *access; /* of a new one */
    json_t *limits;            /* of a key that is given other ones, or null */
    bool is_repeated;
    struct buf record;
};

static bool read_change(const json_t *body, struct key_change *k, struct err *err);
static bool read_owner(const json_t *body, struct key_state *k, struct err *err);
static bool read_limits(const json_t *body, struct key_state *k, struct err *err);
static bool read_access(const json_t *body, struct key_change *k, struct err *err);
static void change_start(struct console *c, struct http_request *r, const struct key_change *wanted,
                         const char *op);
static void on_turn(void *arg);
static void on_present_key(void *arg, bool found, const struct key_state *state,
                           const struct err *err);
static struct partition partition_of_owner(const struct key_change *k);
static void look(struct key_change *k);
static void on_operation(void *arg, enum operation_seen seen, const struct err *err);
static void find_owner(struct key_change *k);
static void decide_limits(struct key_change *k);
static void decide_revocation(struct key_change *k);
static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err);
static void on_creators(void *arg, struct catalogue *catalogue, const struct err *err);
static void post(struct key_change *k);
static void write_record(struct key_change *k);
static void write_creation(struct jw *w, const struct key_change *k);
static void write_limits(struct jw *w, const struct key_change *k);
static void write_revocation(struct jw *w, const struct key_change *k);
static void write_answer(const struct key_change *k, struct buf *out);
static void write_secret(const struct key_change *k, struct buf *out);
static void change_free(void *arg);

static void (*const decide[SETTING_FORMS])(struct key_change *) = {
    [SETTING_CREATE] = find_owner,
    [SETTING_LIMIT] = decide_limits,
    [SETTING_REVOKE] = decide_revocation,
};
static void (*const write_values[SETTING_FORMS])(struct jw *, const struct key_change *) = {
    [SETTING_CREATE] = write_creation,
    [SETTING_LIMIT] = write_limits,
    [SETTING_REVOKE] = write_revocation,
};

void key_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct key_change change = {.form = SETTING_CREATE};
    AUTO_CLEAR(api_key) key = {0};
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_change(body, &change, &err)) {
        key_access_free(change.access);
        reply_err(r, &err);
        return;
    }
    api_key_derive(change.state.owner_kind, change.state.owner, op, &c->installation->pepper, &key);
    api_key_hash(&key, &c->installation->pepper, change.state.hash);
    memcpy(change.public_id, key.public_id, sizeof change.public_id);
    change_start(c, r, &change, op);
}

static bool read_change(const json_t *body, struct key_change *k, struct err *err)
{
    static const char *const members[] = {"account", "creator",    "expires_at",   "rpm",
                                          "tpm",     "budget_day", "budget_month", "scopes",
                                          "models",  "ips",        "op",           NULL};
    const char *expires = NULL;

    if (!json_only_members(body, members, "the key", err) || !read_owner(body, &k->state, err) ||
        !json_get_string_or(body, "expires_at", &expires, "the key", err))
        return false;
    if (expires && !clock_parse(span_of(expires), &k->state.expires_at, err))
        return err_context(err, "'expires_at'");
    if (expires && k->state.expires_at <= clock_now())
        return err_set(err, ERR_INPUT, "'expires_at' is not in the future");
    return read_limits(body, &k->state, err) && read_access(body, k, err);
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

static bool read_access(const json_t *body, struct key_change *k, struct err *err)
{
    if (!key_access_read(body, &k->access, err))
        return false;
    return k->state.owner_kind == 'a' ||
           !(json_object_get(body, "scopes") || json_object_get(body, "models")) ||
           err_set(
               err, ERR_INPUT,
               "a creator's key makes no calls, so it has no scopes and no models; 'ips' may be "
               "given");
}

static bool read_limits(const json_t *body, struct key_state *k, struct err *err)
{
    if (!rate_limits_read(body, &k->rpm, &k->tpm, err) ||
        !budgets_read(body, &k->budget_day, &k->budget_month, err))
        return false;
    return k->owner_kind == 'a' || (!k->rpm && !k->tpm && !k->budget_day && !k->budget_month) ||
           err_set(err, ERR_INPUT, "a creator's key makes no calls, so it has no limits");
}

/* Takes the limits. */
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
    write_record(k);
    operation_look(turn_console(k->turn)->ledger.redis,
                   &(struct operation_ask){RECORD_KEY, k->public_id, partition_of_owner(k),
                                           buf_span(&k->record)},
                   on_operation, k);
}

static struct partition partition_of_owner(const struct key_change *k)
{
    return partition_of(SIDE_ACCOUNT, span_of(k->state.owner));
}

static void on_operation(void *arg, enum operation_seen seen, const struct err *err)
{
    struct key_change *k = arg;
    struct http_request *r = turn_request(k->turn);

    if (err) {
        turn_refuse(k->turn, err);
    } else if (!r || seen == OPERATION_OTHER) {
        if (r)
            operation_reply_other(r, turn_op(k->turn));
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
    const struct secret *pepper = &turn_console(k->turn)->installation->pepper;
    AUTO_CLEAR(api_key) key = {0};
    AUTO_CLEAR(buf) text = {.max = 2 * KEY_TEXT};
    struct jw w;

    api_key_derive(k->state.owner_kind, k->state.owner, turn_op(k->turn), pepper, &key);
    api_key_text(&key, &text);
    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "public_id", k->public_id);
    jw_string_member(&w, k->state.owner_kind == 'a' ? "account" : "creator", k->state.owner);
    jw_span_member(&w, "secret", buf_span(&text));
    jw_object_end(&w);
    explicit_bzero(text.data, text.len);
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
    jw_string_member(&w, "state", k->state.revoked ? "revoked" : "active");
    jw_int_member(&w, "rpm", k->state.rpm);
    jw_int_member(&w, "tpm", k->state.tpm);
    budgets_write(&w, k->state.budget_day, k->state.budget_month, NULL);
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
    char hex[SHA256_HEX];

    hex_encode(k->state.hash, SHA256_LEN, hex);
    jw_string_member(w, "owner_kind", k->state.owner_kind == 'a' ? "account" : "creator");
    jw_string_member(w, "owner", k->state.owner);
    jw_string_member(w, "hash", hex);
    if (k->state.expires_at) {
        jw_time_member(w, "expires_at", k->state.expires_at);
    } else {
        jw_key(w, "expires_at");
        jw_null(w);
    }
    jw_int_member(w, "rpm", k->state.rpm);
    jw_int_member(w, "tpm", k->state.tpm);
    budgets_write(w, k->state.budget_day, k->state.budget_month, NULL);
    jw_key(w, "access");
    jw_raw(w, k->access ? key_access_json(k->access) : SPAN("null"));
}

/* What is not named stays. */
static void write_limits(struct jw *w, const struct key_change *k)
{
    if (json_object_get(k->limits, "rpm"))
        jw_int_member(w, "rpm", k->state.rpm);
    if (json_object_get(k->limits, "tpm"))
        jw_int_member(w, "tpm", k->state.tpm);
    budgets_write(w, k->state.budget_day, k->state.budget_month, k->limits);
}

static void write_revocation(struct jw *w, const struct key_change *k)
{
    (void)k;
    jw_string_member(w, "state", "revoked");
}

static void change_free(void *arg)
{
    struct key_change *k = arg;

    json_decref(k->limits);
    key_access_free(k->access);
    buf_clear(&k->record);
    free(k);
}

/* ------------------------------------------------------------------ revoking, other limits */

static void change_key(struct console *c, struct http_request *r, const char *public_id,
                       json_t *limits, const char *op);

void key_revoke_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);

    if (body)
        change_key(server, r, match->value[0], NULL, op);
}

void key_limit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"rpm", "tpm", "budget_day", "budget_month", "op", NULL};
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct err err;

    if (!body)
        return;
    if (json_only_members(body, members, "the limits", &err) &&
        (json_object_size(body) > 1 ||
         err_set(&err, ERR_INPUT, "no limit was given to be changed")))
        change_key(server, r, match->value[0], body, op);
    else
        reply_err(r, &err);
}

/* Revokes it unless there are limits to be set; what a key has besides stays. */
static void change_key(struct console *c, struct http_request *r, const char *public_id,
                       json_t *limits, const char *op)
{
    struct key_change change = {.form = limits ? SETTING_LIMIT : SETTING_REVOKE};

    if (!span_copy(span_of(public_id), change.public_id, sizeof change.public_id) ||
        strlen(change.public_id) != KEY_ID_PUBLIC - 1) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%.40s' is no public id of a key: 12 characters, the part after sk-tg-",
                      public_id);
        return;
    }
    change.limits = json_incref(limits);
    change_start(c, r, &change, op);
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
    if (!err) {
        k->state = *state;
        k->state.access = SPAN(""); /* the text ends with this call */
        k->present = k->state;
        if (k->limits && !read_limits(k->limits, &k->state, &wrong))
            err = &wrong;
    }
    if (err)
        turn_refuse(k->turn, err);
    else
        look(k);
}

static void decide_limits(struct key_change *k)
{
    struct err err;

    if (k->state.revoked) {
        err_set(&err, ERR_EXISTS, "key %s has been revoked", k->public_id);
        turn_refuse(k->turn, &err);
    } else {
        post(k);
    }
}

/* One that was revoked stays so. */
static void decide_revocation(struct key_change *k)
{
    k->is_repeated = k->state.revoked;
    k->state.revoked = true;
    post(k);
}

/* ------------------------------------------------------------------ listing */

struct listing {
    struct console *console;
    struct http_request *request;
    char **ids;
    size_t count, next;
    struct buf json;
    struct jw w;
};

static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err);
static void list_next(struct listing *l);
static void on_listed(void *arg, bool found, const struct key_state *state, const struct err *err);
static void write_access(struct jw *w, struct span access);
static void list_end(struct listing *l, const struct err *err);

void keys_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct listing *l = xcalloc(1, sizeof *l);

    (void)match;
    l->console = c;
    request_keep(r, &l->request);
    buf_init(&l->json, ANSWER_MAX);
    jw_init(&l->w, &l->json);
    scan_names(c->ledger.redis, "tg:{a*}:key:*", on_ids, l);
}

static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err)
{
    struct listing *l = arg;

    if (err) {
        list_end(l, err);
        return;
    }
    l->ids = xcalloc(count + 1, sizeof *l->ids);
    for (l->count = 0; l->count < count; l->count++)
        l->ids[l->count] = xstrdup(ids[l->count]);
    jw_object(&l->w);
    jw_key(&l->w, "data");
    jw_array(&l->w);
    list_next(l);
}

static void list_next(struct listing *l)
{
    if (l->next < l->count && l->request) {
        key_read(l->console->ledger.redis, l->ids[l->next], on_listed, l);
        return;
    }
    jw_array_end(&l->w);
    jw_object_end(&l->w);
    list_end(l, NULL);
}

static void on_listed(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct listing *l = arg;

    if (err) {
        list_end(l, err);
        return;
    }
    if (found) {
        jw_object(&l->w);
        jw_string_member(&l->w, "public_id", l->ids[l->next]);
        jw_string_member(&l->w, state->owner_kind == 'a' ? "account" : "creator", state->owner);
        jw_string_member(&l->w, "state", state->revoked ? "revoked" : "active");
        if (state->expires_at)
            jw_time_member(&l->w, "expires_at", state->expires_at);
        if (state->owner_kind == 'a') {
            jw_int_member(&l->w, "rpm", state->rpm);
            jw_int_member(&l->w, "tpm", state->tpm);
            budgets_write(&l->w, state->budget_day, state->budget_month, NULL);
        }
        write_access(&l->w, state->access);
        jw_object_end(&l->w);
    }
    l->next++;
    list_next(l);
}

/* "scopes", "models" and "ips", as far as they narrow the key. */
static void write_access(struct jw *w, struct span access)
{
    AUTO_JSON object = access.len ? json_parse(access, NULL) : NULL;
    const char *name;
    json_t *list;

    json_object_foreach(object, name, list)
    {
        AUTO_CLEAR(buf) json = {.max = ACCESS_BYTES_MAX};

        jw_key(w, name);
        if (json_dump(list, &json))
            jw_raw(w, buf_span(&json));
        else
            jw_null(w);
    }
}

static void list_end(struct listing *l, const struct err *err)
{
    struct err too_long;

    if (!err && !buf_ok(&l->json, "the list of keys", &too_long))
        err = &too_long;
    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request)
        reply_json(l->request, 200, buf_span(&l->json));
    for (size_t i = 0; i < l->count; i++)
        free(l->ids[i]);
    free(l->ids);
    buf_clear(&l->json);
    free(l);
}
