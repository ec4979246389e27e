/* suspense_admin.c - partitions are read one after another: suspense is nearly always empty. */
#include "gateway/suspense_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/desk.h"
#include "gateway/rebuild.h"
#include "gateway/wholeness.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (8 * 1024 * 1024)
#define ENTRY_TEXT 200
#define REASON_MAX 200

/* Of "reason rest" the rest, with the reason's length in *reason. */
static struct span rest_of(struct span value, size_t *reason)
{
    const char *blank = value.len ? memchr(value.data, ' ', value.len) : NULL;

    *reason = blank ? (size_t)(blank - value.data) : value.len;
    return blank ? (struct span){blank + 1, value.len - *reason - 1} : (struct span){"", 0};
}

/* ------------------------------------------------------------------ the list */

struct list {
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    struct wholeness *wholeness;
    unsigned lane;
    struct buf json;
    struct jw w;
};

static void on_whole(void *arg, const struct err *err);
static void list_next(struct list *l);
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err);
static void write_entry(struct list *l, struct span field, struct span value);
static void on_still_whole(void *arg, const struct err *err);
static void list_end(struct list *l, const struct err *err);

void suspense_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct list *l = xcalloc(1, sizeof *l);

    (void)match;
    l->console = server;
    request_keep(r, &l->request);
    buf_init(&l->json, ANSWER_MAX);
    jw_init(&l->w, &l->json);
    jw_object(&l->w);
    jw_key(&l->w, "data");
    jw_array(&l->w);
    l->wholeness = wholeness_new_first(l->console->ledger.redis, PARTITIONS_ALL);
    wholeness_ask(l->wholeness, on_whole, l);
}

static void on_whole(void *arg, const struct err *err)
{
    struct list *l = arg;

    if (err)
        list_end(l, err);
    else
        list_next(l);
}

static void list_next(struct list *l)
{
    char key[PARTITION_KEY];
    const struct span argv[] = {SPAN("HGETALL"),
                                partition_key(partition_at(l->lane), "suspense", NULL, key)};

    redis_command(l->console->ledger.redis, argv, ARRAY_LEN(argv), on_entries, l);
}

static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct list *l = arg;
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err) {
        list_end(l, err);
        return;
    }
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        write_entry(l, redis_reply_text(redis_reply_at(reply, i)),
                    redis_reply_text(redis_reply_at(reply, i + 1)));
    if (++l->lane < PARTITIONS_ALL)
        list_next(l);
    else
        wholeness_ask(l->wholeness, on_still_whole, l);
}

static void write_entry(struct list *l, struct span field, struct span value)
{
    AUTO_STRING name = xstrndup(field.data, field.len);
    AUTO_STRING id = NULL;
    char partition[PARTITION_NAME];
    size_t reason;
    struct span rest = rest_of(value, &reason);

    if (span_starts(field, SPAN("resolved ")))
        return;
    id = xasprintf("%s:%s", partition_name(partition_at(l->lane), partition), name);
    for (char *p = id; *p; p++)
        if (*p == ' ')
            *p = ':';
    jw_object(&l->w);
    jw_string_member(&l->w, "id", id);
    jw_span_member(&l->w, "reason", (struct span){value.data, reason});
    if (span_starts(rest, SPAN("{"))) {
        jw_key(&l->w, "record");
        jw_raw(&l->w, rest);
    } else {
        jw_span_member(&l->w, "detail", rest);
    }
    jw_object_end(&l->w);
}

static void on_still_whole(void *arg, const struct err *err)
{
    list_end(arg, err);
}

static void list_end(struct list *l, const struct err *err)
{
    jw_array_end(&l->w);
    jw_object_end(&l->w);
    reply_found(l->request, &l->json, err);
    buf_clear(&l->json);
    wholeness_free(l->wholeness);
    free(l);
}

/* ------------------------------------------------------------------ resolving */

struct resolving {
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    struct partition partition;
    char entry[ENTRY_TEXT]; /* as Redis spells it */
    char id[ENTRY_TEXT], op[OP_TEXT], by[ID_TEXT], reason[REASON_MAX + 1];
    char detail[INT64_TEXT];
    bool is_booked; /* else dropped */
    bool is_again;  /* after the rebuild */
};

static bool read_body(struct resolving *v, const json_t *body, struct err *err);
static bool read_id(struct resolving *v, const char *id, struct err *err);
static void look(struct resolving *v);
static void on_entry(void *arg, const struct redis_reply *reply, const struct err *err);
static bool may_be_dropped(struct resolving *v, struct span value, struct err *err);
static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err);
static void post(struct resolving *v);
static void end(struct resolving *v, const struct err *err);

void suspense_resolve_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct resolving *v;
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct err err;

    (void)match;
    if (!body)
        return;
    v = xcalloc(1, sizeof *v);
    v->console = server;
    if (!span_copy(span_of(op), v->op, sizeof v->op) || !read_body(v, body, &err)) {
        reply_err(r, &err);
        free(v);
        return;
    }
    request_keep(r, &v->request);
    look(v);
}

static bool read_body(struct resolving *v, const json_t *body, struct err *err)
{
    static const char *const members[] = {"id", "as", "by", "reason", "op", NULL};
    static const char what[] = "the resolution";
    const char *id, *as, *by, *reason;

    if (!json_only_members(body, members, what, err) ||
        !json_get_string(body, "id", &id, what, err) ||
        !json_get_string(body, "as", &as, what, err) ||
        !json_get_string(body, "by", &by, what, err) ||
        !json_get_string(body, "reason", &reason, what, err) || !read_id(v, id, err))
        return false;
    v->is_booked = strcmp(as, "booked") == 0;
    if (!v->is_booked && strcmp(as, "dropped") != 0)
        return err_set(err, ERR_INPUT, "'as' must be dropped or booked, not \"%.20s\"", as);
    if (!id_is_valid(span_of(by)) || !span_copy(span_of(by), v->by, sizeof v->by))
        return err_set(err, ERR_INPUT, "a name must be 1 to 64 of A-Z a-z 0-9 . _ -");
    return (refund_reason_is_valid(span_of(reason)) &&
            span_copy(span_of(reason), v->reason, sizeof v->reason)) ||
           err_set(err, ERR_INPUT, "'reason' must say why, in 1 to %d printable bytes", REASON_MAX);
}

/* "a17:w-…:88" */
static bool read_id(struct resolving *v, const char *id, struct err *err)
{
    struct span number = {id + 1, 2};
    uint64_t index = 0;

    if (strlen(id) < 6 || (id[0] != 'a' && id[0] != 'm') || id[3] != ':' ||
        !digits_parse(number, PARTITIONS - 1, &index) ||
        !span_copy(span_of(id), v->id, sizeof v->id) ||
        !span_copy(span_of(id + 4), v->entry, sizeof v->entry))
        return err_set(err, ERR_INPUT,
                       "'%.80s' is no entry's id; `tollgate suspense list` shows them", id);
    v->partition = (struct partition){id[0] == 'a' ? SIDE_ACCOUNT : SIDE_MODEL, (unsigned)index};
    for (char *p = v->entry; *p; p++)
        if (*p == ':')
            *p = ' ';
    return true;
}

static void look(struct resolving *v)
{
    char key[PARTITION_KEY];
    const struct span argv[] = {SPAN("HGET"), partition_key(v->partition, "suspense", NULL, key),
                                span_of(v->entry)};

    redis_command(v->console->ledger.redis, argv, ARRAY_LEN(argv), on_entry, v);
}

static void on_entry(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct resolving *v = arg;
    bool is_there = !err && redis_reply_type(reply) == REDIS_TEXT;
    struct err why;
    size_t reason;

    if (err) {
        end(v, err);
    } else if (v->is_again && is_there) {
        (void)rest_of(redis_reply_text(reply), &reason);
        err_set(&why, ERR_EXISTS, "it still can't be booked: %.*s", (int)reason,
                redis_reply_text(reply).data);
        end(v, &why);
    } else if (v->is_again) {
        post(v);
    } else if (!is_there) {
        err_set(&why, ERR_NOT_FOUND, "'%s' is not in suspense", v->id);
        end(v, &why);
    } else if (v->is_booked) {
        rebuild_include(v->console->rebuild, v->partition);
        rebuild_start(v->console->rebuild, false, on_rebuilt, v);
    } else if (may_be_dropped(v, redis_reply_text(reply), &why)) {
        post(v);
    } else {
        end(v, &why);
    }
}

/* The archive counts calls, and a month closes only when Redis does too. What Redis's state made unbookable may be booked when
 * Redis is rebuilt, so only what no state can change is dropped. */
static bool may_be_dropped(struct resolving *v, struct span value, struct err *err)
{
    static const char *const passing[] = {"sum-is-too-large", "hold-is-malformed"};
    size_t reason;
    struct span rest = rest_of(value, &reason);
    struct record_head head;

    snprintf(v->detail, sizeof v->detail, "-");
    if (span_starts(rest, SPAN("{")) && record_head_parse(rest, &head, NULL) &&
        head.kind == RECORD_CALL)
        return err_set(err, ERR_DENIED,
                       "a call can't be dropped, since the archive counts it: remove the cause, "
                       "then resolve it as booked");
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        if (span_equal((struct span){value.data, reason}, span_of(passing[i])))
            return err_set(err, ERR_DENIED,
                           "%s is no fault of the record: remove the cause, then resolve it as "
                           "booked",
                           passing[i]);
    return strncmp(v->entry, "currency ", 9) != 0 || span_copy(rest, v->detail, sizeof v->detail) ||
           err_set(err, ERR_CORRUPT, "the entry's sum can't be read");
}

static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err)
{
    struct resolving *v = arg;

    (void)result;
    v->is_again = true;
    snprintf(v->detail, sizeof v->detail, "-");
    if (err)
        end(v, err);
    else
        look(v);
}

static void post(struct resolving *v)
{
    AUTO_CLEAR(buf) record = {.max = 4096};
    AUTO_STRING entry = xstrdup(v->id + 4);
    struct jw w;

    jw_init(&w, &record);
    jw_object(&w);
    jw_string_member(&w, "entry", entry);
    jw_string_member(&w, "as", v->is_booked ? "booked" : "dropped");
    jw_string_member(&w, "detail", v->detail);
    jw_string_member(&w, "by", v->by);
    jw_string_member(&w, "reason", v->reason);
    jw_time_member(&w, "at", journal_now(v->console->ledger.journal));
    jw_string_member(&w, "op", v->op);
    jw_object_end(&w);
    if (v->request)
        desk_post(v->console, v->request,
                  &(struct journal_change){RECORD_RESOLVE, buf_span(&record), v->partition},
                  buf_span(&record));
    free(v);
}

static void end(struct resolving *v, const struct err *err)
{
    if (v->request)
        reply_err(v->request, err);
    free(v);
}
