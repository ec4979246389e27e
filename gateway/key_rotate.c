/* key_rotate.c - the new key is derived from the old one's id and the operation's, so a repetition finds it and gives the
 * same one. What it has besides was copied when it was made; a repetition compares only what was asked for. */
#include "gateway/key_rotate.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/setting.h"
#include "gateway/key_admin.h"
#include "gateway/key_terms.h"
#include "gateway/operation.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX    (2048 + ACCESS_BYTES_MAX)
#define GRACE_INITIAL 86400         /* seconds */
#define GRACE_MAX     (366 * 86400) /* seconds */
#define DERIVATION    (ID_TEXT + KEY_ID_PUBLIC + 16)

/* While what it depends on is being read. */
struct rotation {
    struct turn *turn;
    char public_id[KEY_ID_PUBLIC]; /* of the old one */
    char derivation[DERIVATION];   /* what the new one is made of, besides its owner */
    enum pepper_role role;         /* under which the new one's secret is derived and hashed */
    struct key_state old, made;    /* `made`: as the new one is to be */
    struct key_access *access;     /* what both open */
    json_t *asked;
    int64_t grace;   /* seconds */
    int64_t ends_at; /* the old one */
    bool is_repeated;
    struct buf record;
};

static bool read_rotation(const json_t *body, struct rotation *k, struct err *err);
static void on_turn(void *arg);
static void on_old_key(void *arg, bool found, const struct key_state *state, const struct err *err);
static bool take_old(struct rotation *k, const struct key_state *state, struct err *err);
static void derive(const struct rotation *k, struct api_key *out);
static const struct peppers *peppers_of(const struct rotation *k);
static struct partition partition_of_owner(const struct rotation *k);
static void look(struct rotation *k);
static void on_operation(void *arg, enum operation_seen seen, const struct err *err);
static void reply_other(const struct rotation *k);
static bool decide(struct rotation *k, struct err *err);
static void post(struct rotation *k);
static void write_record(struct rotation *k, bool is_whole);
static void write_answer(const struct rotation *k, struct buf *out);
static void rotation_free(void *arg);

void key_rotate_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const struct turn_handlers handlers = {on_turn, rotation_free};
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct rotation wanted = {.grace = GRACE_INITIAL}, *k;
    struct err err;

    if (!body || !key_id_read(r, match->value[0], wanted.public_id))
        return;
    if (!read_rotation(body, &wanted, &err)) {
        reply_err(r, &err);
        return;
    }
    k = xcalloc(1, sizeof *k);
    *k = wanted;
    k->asked = KEEP(body);
    snprintf(k->derivation, sizeof k->derivation, "rotate %s %s", k->public_id, op);
    buf_init(&k->record, RECORD_MAX);
    turn_new(server, r, &(struct turn_ask){"key", k->public_id, op}, &handlers, k, &k->turn);
}

static bool read_rotation(const json_t *body, struct rotation *k, struct err *err)
{
    static const char *const members[] = {"grace", "expires_at", "op", NULL};

    return json_only_members(body, members, "the rotation", err) &&
           json_get_int_or(body, "grace", &k->grace, "the rotation", err) &&
           ((k->grace >= 0 && k->grace <= GRACE_MAX) ||
            err_set(err, ERR_INPUT, "'grace' must be from 0 to %d seconds", GRACE_MAX)) &&
           key_expiry_read(body, &k->made, err);
}

static void on_turn(void *arg)
{
    struct rotation *k = arg;

    key_read(turn_console(k->turn)->ledger.redis, k->public_id, on_old_key, k);
}

static void on_old_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct rotation *k = arg;
    struct err wrong;

    if (!err && !found) {
        err_set(&wrong, ERR_NOT_FOUND, "there is no key %s", k->public_id);
        err = &wrong;
    }
    if (!err && !take_old(k, state, &wrong))
        err = &wrong;
    if (err)
        turn_refuse(k->turn, err);
    else
        look(k);
}

/* All but when it ends, which may be asked for. */
static bool take_old(struct rotation *k, const struct key_state *state, struct err *err)
{
    bool has_end = json_object_get(k->asked, "expires_at");
    int64_t expires_at = has_end ? k->made.expires_at : state->expires_at;

    if (!key_access_parse(state->access, &k->access, err))
        return false;
    k->old = *state;
    k->old.access = SPAN(""); /* the text ends with this call */
    k->made = k->old;
    k->made.expires_at = expires_at;
    k->made.replaced_by[0] = '\0';
    return true;
}

/* A blank stands in no operation id, so no other operation makes the same one. */
static void derive(const struct rotation *k, struct api_key *out)
{
    struct key_origin from = {k->old.owner_kind, turn_console(k->turn)->installation->id,
                              k->old.owner, k->derivation};

    api_key_derive(&from, &peppers_of(k)->of[k->role].secret, out);
}

static const struct peppers *peppers_of(const struct rotation *k)
{
    return &turn_console(k->turn)->installation->peppers;
}

static struct partition partition_of_owner(const struct rotation *k)
{
    return partition_of(SIDE_ACCOUNT, span_of(k->old.owner));
}

static void look(struct rotation *k)
{
    AUTO_CLEAR(api_key) key = {0};

    derive(k, &key);
    key_hash_under(&key, &peppers_of(k)->of[k->role], &k->made);
    buf_truncate(&k->record, 0);
    write_record(k, false);
    operation_look(turn_console(k->turn)->ledger.redis,
                   &(struct operation_ask){RECORD_KEY, key.public_id, partition_of_owner(k),
                                           buf_span(&k->record), true},
                   on_operation, k);
}

/* An operation may have made its key before the pepper was changed. */
static void on_operation(void *arg, enum operation_seen seen, const struct err *err)
{
    struct rotation *k = arg;
    struct http_request *r = turn_request(k->turn);
    struct err wrong;

    if (!err && r && seen == OPERATION_OTHER && peppers_next(peppers_of(k), &k->role)) {
        look(k);
        return;
    }
    k->is_repeated = seen == OPERATION_SAME;
    if (!err && seen == OPERATION_NEW && !decide(k, &wrong))
        err = &wrong;
    if (err) {
        turn_refuse(k->turn, err);
    } else if (!r || seen == OPERATION_OTHER) {
        if (r)
            reply_other(k);
        turn_end(k->turn);
    } else {
        post(k);
    }
}

static void reply_other(const struct rotation *k)
{
    AUTO_CLEAR(api_key) key = {0};

    derive(k, &key);
    key_reply_other(turn_request(k->turn), turn_op(k->turn), key.public_id);
}

/* An old key that ends sooner than the grace would have it still does. */
static bool decide(struct rotation *k, struct err *err)
{
    int64_t now = journal_now(turn_console(k->turn)->ledger.journal);

    if (k->old.revoked)
        return err_set(err, ERR_EXISTS, "key %s has been revoked; make another one", k->public_id);
    if (k->old.replaced_by[0])
        return err_set(err, ERR_EXISTS, "key %s was replaced by %s already; rotate that one",
                       k->public_id, k->old.replaced_by);
    if (!key_expiry_is_ahead(&k->made, err))
        return json_object_get(k->asked, "expires_at")
                   ? false
                   : err_set(err, ERR_EXISTS,
                             "key %s has ended, and a new one would end with it; say when that is "
                             "to end ('expires_at')",
                             k->public_id);
    k->ends_at = now + k->grace * NANOS_PER_SECOND;
    if (k->old.expires_at && k->old.expires_at < k->ends_at)
        k->ends_at = k->old.expires_at;
    k->old.expires_at = k->ends_at;
    return true;
}

static void post(struct rotation *k)
{
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};

    write_answer(k, &answer);
    if (k->is_repeated) {
        turn_reply(k->turn, &answer);
    } else {
        buf_truncate(&k->record, 0);
        write_record(k, true);
        turn_post(k->turn,
                  &(struct journal_change){RECORD_KEY, buf_span(&k->record), partition_of_owner(k)},
                  buf_span(&answer));
    }
    explicit_bzero(answer.data, answer.len);
}

/* Else only what was asked for, for a repetition to be known by. */
static void write_record(struct rotation *k, bool is_whole)
{
    struct console *c = turn_console(k->turn);
    AUTO_CLEAR(api_key) key = {0};
    struct jw w;

    derive(k, &key);
    jw_init(&w, &k->record);
    jw_object(&w);
    jw_string_member(&w, "key", key.public_id);
    key_owner_write(&w, &k->made);
    key_changes_write(&w, &k->made, k->access, is_whole ? NULL : k->asked);
    jw_string_member(&w, "first_key", k->made.first_key);
    jw_string_member(&w, "replaces", k->public_id);
    jw_int_member(&w, "grace", k->grace);
    if (is_whole)
        jw_time_member(&w, "replaced_until", k->ends_at);
    jw_int_member(&w, "revision", console_revision(c));
    jw_time_member(&w, "at", journal_now(c->ledger.journal));
    jw_string_member(&w, "op", turn_op(k->turn));
    jw_object_end(&w);
}

static void write_answer(const struct rotation *k, struct buf *out)
{
    AUTO_CLEAR(api_key) key = {0};
    struct jw w;

    derive(k, &key);
    jw_init(&w, out);
    key_secret_write(&w, &k->old, &key);
    jw_string_member(&w, "replaces", k->public_id);
    jw_time_member(&w, "replaced_until", k->old.expires_at);
    if (k->is_repeated)
        jw_bool_member(&w, "repeated", true);
    jw_object_end(&w);
}

static void rotation_free(void *arg)
{
    struct rotation *k = arg;

    json_decref(k->asked);
    key_access_free(k->access);
    buf_clear(&k->record);
    free(k);
}
