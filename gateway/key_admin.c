/* key_admin.c - a key is derived from its operation id and the pepper, so an operation that is repeated gives the same key
 * and never two; only its hash is recorded. */
#include "gateway/key_admin.h"

#include <stdlib.h>

#include "gateway/account_terms.h"
#include "gateway/catalogue_load.h"
#include "gateway/desk.h"
#include "gateway/key_access.h"
#include "gateway/scan.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define RECORD_MAX (2048 + ACCESS_BYTES_MAX)
#define ANSWER_MAX (8 * 1024 * 1024)

/* A change of a key, while what it depends on is being read. */
struct key_change {
    struct console *console;
    struct http_request *request;
    char op[OP_TEXT];
    char kind; /* 'a' account, 'c' creator */
    char owner[ID_TEXT];
    char public_id[KEY_ID_PUBLIC];
    int64_t expires_at, rpm, tpm;
    struct key_access *access;
    json_t *limits; /* of a key that is given other ones, or null */
};

static bool read_change(const json_t *body, struct key_change *k, struct err *err);
static bool read_limits(const json_t *body, struct key_change *k, struct err *err);
static bool read_access(const json_t *body, struct key_change *k, struct err *err);
static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err);
static void on_creators(void *arg, struct catalogue *catalogue, const struct err *err);
static void create(struct key_change *k);
static void change_free(struct key_change *k);
static void write_record(struct key_change *k, const unsigned char hash[SHA256_LEN],
                         const char *state, struct buf *record);

void key_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    struct key_change change = {.console = c}, *k;
    struct err err;

    (void)match;
    if (!body)
        return;
    if (!read_change(body, &change, &err)) {
        key_access_free(change.access);
        reply_err(r, &err);
        return;
    }
    memcpy(change.op, op, strlen(op) + 1);
    k = xcalloc(1, sizeof *k);
    *k = change;
    request_keep(r, &k->request);
    if (k->kind == 'a')
        account_read(c->ledger.redis, k->owner, on_owner, k);
    else
        catalogue_load(c->ledger.redis, on_creators, k);
}

static bool read_change(const json_t *body, struct key_change *k, struct err *err)
{
    static const char *const members[] = {"account", "creator", "expires_at", "rpm", "tpm",
                                          "scopes",  "models",  "ips",        "op",  NULL};
    const char *account = NULL, *creator = NULL, *expires = NULL;

    if (!json_only_members(body, members, "the key", err) ||
        !json_get_string_or(body, "account", &account, "the key", err) ||
        !json_get_string_or(body, "creator", &creator, "the key", err) ||
        !json_get_string_or(body, "expires_at", &expires, "the key", err))
        return false;
    if (!account == !creator)
        return err_set(err, ERR_INPUT, "a key belongs either to an 'account' or to a 'creator'");
    k->kind = account ? 'a' : 'c';
    if (!id_is_valid(span_of(account ? account : creator)) ||
        !span_copy(span_of(account ? account : creator), k->owner, sizeof k->owner))
        return err_set(err, ERR_INPUT, "'%.80s' is no id: 1 to 64 of A-Z a-z 0-9 . _ -",
                       account ? account : creator);
    if (expires && !clock_parse(span_of(expires), &k->expires_at, err))
        return err_context(err, "'expires_at'");
    if (expires && k->expires_at <= clock_now())
        return err_set(err, ERR_INPUT, "'expires_at' is not in the future");
    return read_limits(body, k, err) && read_access(body, k, err);
}

static bool read_access(const json_t *body, struct key_change *k, struct err *err)
{
    if (!key_access_read(body, &k->access, err))
        return false;
    return k->kind == 'a' ||
           !(json_object_get(body, "scopes") || json_object_get(body, "models")) ||
           err_set(
               err, ERR_INPUT,
               "a creator's key makes no calls, so it has no scopes and no models; 'ips' may be "
               "given");
}

static bool read_limits(const json_t *body, struct key_change *k, struct err *err)
{
    if (!rate_limits_read(body, &k->rpm, &k->tpm, err))
        return false;
    return k->kind == 'a' || (!k->rpm && !k->tpm) ||
           err_set(err, ERR_INPUT, "a creator's key makes no calls, so it has no limits");
}

static void on_owner(void *arg, bool found, const struct account_state *state,
                     const struct err *err)
{
    struct key_change *k = arg;

    if (k->request && !err && found && state->opened) {
        create(k);
        return;
    }
    if (k->request && err)
        reply_err(k->request, err);
    else if (k->request)
        reply_problem(k->request, CALLER_NOT_FOUND,
                      "There is no account '%s'; open it with 'tollgate account create'", k->owner);
    change_free(k);
}

/* Read anew, since a catalogue may have been applied a moment ago. */
static void on_creators(void *arg, struct catalogue *catalogue, const struct err *err)
{
    struct key_change *k = arg;

    if (k->request && catalogue && catalogue_creator(catalogue, k->owner)) {
        create(k);
    } else {
        if (k->request && err)
            reply_err(k->request, err);
        else if (k->request)
            reply_problem(k->request, CALLER_NOT_FOUND,
                          "There is no creator '%s'; apply a catalogue that names it", k->owner);
        change_free(k);
    }
    catalogue_free(catalogue);
}

static void create(struct key_change *k)
{
    const struct secret *pepper = &k->console->installation->pepper;
    AUTO_CLEAR(api_key) key = {0};
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};
    AUTO_CLEAR(buf) text = {.max = 2 * KEY_TEXT};
    unsigned char hash[SHA256_LEN];
    struct jw w;

    api_key_derive(k->kind, k->owner, k->op, pepper, &key);
    memcpy(k->public_id, key.public_id, sizeof k->public_id);
    api_key_hash(&key, pepper, hash);
    write_record(k, hash, "active", &record);
    api_key_text(&key, &text);
    jw_init(&w, &answer);
    jw_object(&w);
    jw_string_member(&w, "public_id", key.public_id);
    jw_string_member(&w, k->kind == 'a' ? "account" : "creator", k->owner);
    jw_span_member(&w, "secret", buf_span(&text));
    jw_object_end(&w);
    desk_post(k->console, k->request,
              &(struct journal_change){RECORD_KEY, buf_span(&record),
                                       partition_of(SIDE_ACCOUNT, span_of(k->owner))},
              buf_span(&answer));
    explicit_bzero(text.data, text.len);
    explicit_bzero(answer.data, answer.len);
    change_free(k);
}

static void write_record(struct key_change *k, const unsigned char hash[SHA256_LEN],
                         const char *state, struct buf *record)
{
    char hex[SHA256_HEX];
    struct jw w;

    hex_encode(hash, SHA256_LEN, hex);
    jw_init(&w, record);
    jw_object(&w);
    jw_string_member(&w, "key", k->public_id);
    jw_string_member(&w, "owner_kind", k->kind == 'a' ? "account" : "creator");
    jw_string_member(&w, "owner", k->owner);
    jw_string_member(&w, "hash", hex);
    jw_string_member(&w, "state", state);
    if (k->expires_at) {
        jw_time_member(&w, "expires_at", k->expires_at);
    } else {
        jw_key(&w, "expires_at");
        jw_null(&w);
    }
    jw_int_member(&w, "rpm", k->rpm);
    jw_int_member(&w, "tpm", k->tpm);
    jw_key(&w, "access");
    jw_raw(&w, k->access ? key_access_json(k->access) : SPAN("null"));
    jw_int_member(&w, "revision", console_revision(k->console));
    jw_time_member(&w, "at", journal_now(k->console->ledger.journal));
    jw_string_member(&w, "op", k->op);
    jw_object_end(&w);
}

/* ------------------------------------------------------------------ revoking, other limits */

static void change_key(struct console *c, struct http_request *r, const char *public_id,
                       json_t *limits, const char *op);
static void on_present_key(void *arg, bool found, const struct key_state *state,
                           const struct err *err);
static void change_present(struct key_change *k, const struct key_state *state);

void key_revoke_post(void *server, struct http_request *r, const struct route_match *match)
{
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);

    if (body)
        change_key(server, r, match->value[0], NULL, op);
}

void key_limit_post(void *server, struct http_request *r, const struct route_match *match)
{
    static const char *const members[] = {"rpm", "tpm", "op", NULL};
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
    struct key_change *k = xcalloc(1, sizeof *k);

    k->console = c;
    k->limits = json_incref(limits);
    memcpy(k->op, op, strlen(op) + 1);
    if (!span_copy(span_of(public_id), k->public_id, sizeof k->public_id) ||
        strlen(k->public_id) != KEY_ID_PUBLIC - 1) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%.40s' is no public id of a key: 12 characters, the part after sk-tg-",
                      public_id);
        change_free(k);
        return;
    }
    request_keep(r, &k->request);
    key_read(c->ledger.redis, k->public_id, on_present_key, k);
}

static void on_present_key(void *arg, bool found, const struct key_state *state,
                           const struct err *err)
{
    struct key_change *k = arg;

    if (k->request && err) {
        reply_err(k->request, err);
    } else if (k->request && !found) {
        reply_problem(k->request, CALLER_NOT_FOUND, "There is no key %s", k->public_id);
    } else if (k->request && k->limits && state->revoked) {
        reply_problem(k->request, CALLER_CONFLICT, "Key %s has been revoked", k->public_id);
    } else if (k->request) {
        change_present(k, state);
    }
    change_free(k);
}

static void change_present(struct key_change *k, const struct key_state *state)
{
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    struct err err;

    k->kind = state->owner_kind;
    k->expires_at = state->expires_at;
    k->rpm = state->rpm;
    k->tpm = state->tpm;
    memcpy(k->owner, state->owner, sizeof k->owner);
    if (!key_access_parse(state->access, &k->access, &err) ||
        (k->limits && !read_limits(k->limits, k, &err))) {
        reply_err(k->request, &err);
        return;
    }
    write_record(k, state->hash, k->limits ? "active" : "revoked", &record);
    desk_post(k->console, k->request,
              &(struct journal_change){RECORD_KEY, buf_span(&record),
                                       partition_of(SIDE_ACCOUNT, span_of(k->owner))},
              buf_span(&record));
}

static void change_free(struct key_change *k)
{
    json_decref(k->limits);
    key_access_free(k->access);
    free(k);
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
