/* creator_calls.c - the streams of all models that the creator owns, put in one order. */
#include "gateway/creator_calls.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/event_fields.h"
#include "billing/partition.h"
#include "gateway/console_state.h"
#include "gateway/readiness.h"
#include "gateway/service.h"
#include "gateway/usage_reply.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define JSON_MAX       (4 * 1024 * 1024)
#define PSEUDONYM_TEXT 15 /* "client-" and 8 hex digits */

struct reading {
    const struct console *console;
    struct http_request *request;
    char creator[ID_TEXT];
    struct usage_page page;
    size_t waiting;
    struct err err;      /* the first failure */
    struct event *calls; /* of all models, in no order until all are there */
    size_t count;
};

static bool owns(const struct owner *owners, size_t count, const char *creator);
static void ask(struct reading *r, const char *model);
static void on_calls(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_call(struct reading *r, const struct redis_reply *entry, struct err *err);
static void finish(struct reading *r);
static void write_page(const struct reading *r, struct jw *w);
static void write_call(const struct reading *r, const struct event *e, struct jw *w);

void creator_events_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct usage_page page;
    struct reading *reading;

    (void)match;
    if (!usage_page_asked(r, &page))
        return;
    if (!readiness_has_catalogue(&c->ledger, r))
        return;
    reading = xcalloc(1, sizeof *reading);
    reading->console = c;
    reading->page = page;
    snprintf(reading->creator, sizeof reading->creator, "%s", request_caller(r)->holder.owner);
    request_keep(r, &reading->request);
    for (size_t i = 0; i < catalogue_model_count(c->ledger.catalogue); i++) {
        const struct model *m = catalogue_model_at(c->ledger.catalogue, i);

        if (owns(m->owners, m->owner_count, reading->creator))
            ask(reading, m->id);
    }
    if (!reading->waiting)
        finish(reading);
}

static bool owns(const struct owner *owners, size_t count, const char *creator)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(owners[i].id, creator) == 0)
            return true;
    return false;
}

static void ask(struct reading *r, const char *model)
{
    char key[PARTITION_KEY];
    struct partition p = partition_of(SIDE_MODEL, span_of(model));
    struct span argv[] = {SPAN("XRANGE"), partition_key(p, "calls", model, key), SPAN("-"),
                          SPAN("+")};

    r->waiting++;
    redis_command(r->console->ledger.redis, argv, ARRAY_LEN(argv), on_calls, r);
}

static void on_calls(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct reading *r = arg;
    size_t count = err ? 0 : redis_reply_count(reply);

    if (err)
        r->err = *err;
    else if (redis_reply_type(reply) == REDIS_ERROR)
        err_set(&r->err, ERR_UNAVAILABLE, "Redis refused: %.*s", SPAN_FMT(redis_reply_text(reply)));
    if (count)
        r->calls = xrealloc_array(r->calls, r->count + count, sizeof *r->calls);
    for (size_t i = 0; i < count && !r->err.code; i++)
        if (!take_call(r, redis_reply_at(reply, i), &r->err))
            break;
    if (--r->waiting == 0)
        finish(r);
}

/* [id, ["r", record]]. A model may have had other owners when it was called. */
static bool take_call(struct reading *r, const struct redis_reply *entry, struct err *err)
{
    struct span line = redis_reply_text(redis_reply_at(redis_reply_at(entry, 1), 1));
    AUTO_JSON record = json_parse(line, err);
    struct event *e = &r->calls[r->count];

    if (!record || !event_parse(record, e, err))
        return false;
    r->count += owns(e->owners, e->owner_count, r->creator);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->ended_at != y->ended_at)
        return x->ended_at < y->ended_at ? 1 : -1;
    return strcmp(y->request_id, x->request_id);
}

static void finish(struct reading *r)
{
    AUTO_CLEAR(buf) json = {.max = JSON_MAX};
    struct jw w;

    if (r->request && r->err.code) {
        reply_err(r->request, &r->err);
    } else if (r->request) {
        if (r->count)
            qsort(r->calls, r->count, sizeof *r->calls, newest_first);
        jw_init(&w, &json);
        write_page(r, &w);
        reply_built(r->request, &json);
    }
    free(r->calls);
    free(r);
}

static void write_page(const struct reading *r, struct jw *w)
{
    size_t first = 0, end;

    if (r->page.before[0]) {
        while (first < r->count && strcmp(r->calls[first].request_id, r->page.before) != 0)
            first++;
        first += first < r->count;
    }
    end = r->count - first > r->page.limit ? first + r->page.limit : r->count;
    jw_object(w);
    jw_string_member(w, "object", "list");
    jw_key(w, "data");
    jw_array(w);
    for (size_t i = first; i < end; i++)
        write_call(r, &r->calls[i], w);
    jw_array_end(w);
    jw_bool_member(w, "has_more", end < r->count);
    jw_object_end(w);
}

/* Who lacks that key can't test a guess of the account. */
static const char *pseudonym(const struct reading *r, const char *account,
                             char out[PSEUDONYM_TEXT + 1])
{
    unsigned char mac[SHA256_LEN];
    AUTO_STRING text = xasprintf("pseudonym %s %s", r->creator, account);

    hmac_sha256(&r->console->installation->derivation_key, span_of(text), mac);
    snprintf(out, PSEUDONYM_TEXT + 1, "client-%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3]);
    return out;
}

static void write_call(const struct reading *r, const struct event *e, struct jw *w)
{
    char client[PSEUDONYM_TEXT + 1], amount[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "object", "call");
    jw_string_member(w, "request_id", e->request_id);
    jw_string_member(w, "client", pseudonym(r, e->account, client));
    jw_string_member(w, "model", e->model);
    field_used_write(&e->used, w);
    jw_string_member(w, "amount", decimal_format(e->amount.nanos, amount));
    jw_string_member(w, "currency", e->amount.currency);
    jw_string_member(w, "outcome", outcome_name(e->outcome));
    jw_time_member(w, "ended_at", e->ended_at);
    jw_string_member(w, "period", e->period.text);
    jw_object_end(w);
}
