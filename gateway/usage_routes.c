/* usage_routes.c - every look-up is by the caller's own account, so another's request id is simply not there. */
#include "gateway/usage_routes.h"

#include <stdlib.h>

#include "gateway/call_refunds.h"
#include "gateway/receipt_reply.h"
#include "gateway/server.h"
#include "gateway/service.h"
#include "gateway/usage_view.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LIST_LIMIT      20
#define LIST_LIMIT_MAX  1000
#define REPLY_BYTES_MAX (4 * 1024 * 1024)

/* One look-up on its way; `request` is null once the client is gone. */
struct lookup {
    struct server *server;
    struct http_request *request;
    char request_id[REQUEST_ID_TEXT], op[ID_TEXT];
    struct event event;
};

static struct lookup *lookup_new(struct server *server, struct http_request *r);
static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err);
static void start_find(void *server, struct http_request *r, const struct route_match *match,
                       recent_on_record *on_record);
static void on_usage(void *arg, const struct span *line, const struct err *err);
static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err);
static void write_usage(struct lookup *l, const struct refund_set *refunds);
static void on_receipt(void *arg, const struct span *line, const struct err *err);
static bool is_answerable(struct lookup *l, const struct span *line, const struct err *err);
static bool write_line(struct span line, struct jw *w, struct err *err);
static bool parse_line(struct span line, struct event *out, struct err *err);
static void write_limits(struct jw *w, const struct account_state *state);
static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);

static struct lookup *lookup_new(struct server *server, struct http_request *r)
{
    struct lookup *l = xcalloc(1, sizeof *l);

    l->server = server;
    request_keep(r, &l->request);
    return l;
}

void usage_list_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct server *s = server;
    struct span query = http_request_query(r);
    char text[16] = "", before[REQUEST_ID_TEXT];
    uint64_t limit = LIST_LIMIT;
    enum query_result found;

    (void)match;
    if (query_get(query, "limit", text, sizeof text) != QUERY_ABSENT &&
        (!digits_parse(span_of(text), LIST_LIMIT_MAX, &limit) || limit < 1)) {
        reply_problem(r, CALLER_BAD_REQUEST, "'limit' must be from 1 to %d", LIST_LIMIT_MAX);
        return;
    }
    found = query_get(query, "before", before, sizeof before);
    if (found == QUERY_BAD) {
        reply_problem(r, CALLER_BAD_REQUEST, "'before' must be a request id");
        return;
    }
    history_list(&s->history, request_caller(r)->holder.owner, found == QUERY_FOUND ? before : NULL,
                 (size_t)limit, on_page, lookup_new(s, r));
}

static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err)
{
    struct lookup *l = arg;
    AUTO_CLEAR(buf) json = {.max = REPLY_BYTES_MAX};
    struct err bad;
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "object", "list");
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; !err && i < count; i++)
        if (!write_line(lines[i], &w, &bad))
            err = &bad;
    jw_array_end(&w);
    jw_bool_member(&w, "has_more", has_more);
    jw_object_end(&w);
    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request)
        reply_built(l->request, &json);
    free(l);
}

void usage_get(void *server, struct http_request *r, const struct route_match *match)
{
    start_find(server, r, match, on_usage);
}

void receipt_get(void *server, struct http_request *r, const struct route_match *match)
{
    start_find(server, r, match, on_receipt);
}

static void start_find(void *server, struct http_request *r, const struct route_match *match,
                       recent_on_record *on_record)
{
    struct server *s = server;
    struct lookup *l;

    if (!request_id_is_valid(span_of(match->value[0]))) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%s' is no request id; it stands in the x-request-id header of the answer",
                      match->value[0]);
        return;
    }
    l = lookup_new(s, r);
    memcpy(l->request_id, match->value[0], strlen(match->value[0]) + 1); /* a valid one fits */
    if (match->count > 1)
        memcpy(l->op, match->value[1], strlen(match->value[1]) + 1); /* likewise */
    history_find(&s->history, request_caller(r)->holder.owner, l->request_id, true, on_record, l);
}

void refund_receipt_get(void *server, struct http_request *r, const struct route_match *match)
{
    if (id_is_valid(span_of(match->value[1])))
        start_find(server, r, match, on_usage);
    else
        reply_problem(r, CALLER_NOT_FOUND, "'%s' is no refund's operation id", match->value[1]);
}

static void on_usage(void *arg, const struct span *line, const struct err *err)
{
    struct lookup *l = arg;
    struct err bad;

    if (is_answerable(l, line, err)) {
        if (parse_line(*line, &l->event, &bad)) {
            call_refunds_read(l->server->ledger.redis, l->event.account, l->request_id, on_refunds,
                              l);
            return;
        }
        reply_err(l->request, &bad);
    }
    free(l);
}

static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err)
{
    struct lookup *l = arg;

    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request && l->op[0])
        receipt_reply_refund(l->request, refunds, l->op, l->server->installation->signing_key);
    else if (l->request)
        write_usage(l, refunds);
    free(l);
}

static void write_usage(struct lookup *l, const struct refund_set *refunds)
{
    AUTO_CLEAR(buf) json = {.max = REPLY_BYTES_MAX};
    struct jw w;

    jw_init(&w, &json);
    usage_view_write(&l->event, refunds, &w);
    reply_built(l->request, &json);
}

static void on_receipt(void *arg, const struct span *line, const struct err *err)
{
    struct lookup *l = arg;

    if (is_answerable(l, line, err))
        receipt_reply(l->request, *line, l->server->installation->signing_key);
    free(l);
}

static bool is_answerable(struct lookup *l, const struct span *line, const struct err *err)
{
    if (!l->request)
        return false;
    if (err)
        reply_err(l->request, err);
    else if (!line)
        reply_problem(l->request, CALLER_NOT_FOUND, "There is no call %s of this account",
                      l->request_id);
    return !err && line;
}

static bool write_line(struct span line, struct jw *w, struct err *err)
{
    struct event e;

    if (!parse_line(line, &e, err))
        return false;
    usage_view_write(&e, NULL, w);
    return true;
}

static bool parse_line(struct span line, struct event *out, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);

    return record && event_parse(record, out, err);
}

void balance_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct server *s = server;

    (void)match;
    account_read(s->ledger.redis, request_caller(r)->holder.owner, on_account, lookup_new(s, r));
}

static void write_limits(struct jw *w, const struct account_state *state)
{
    const struct {
        const char *name;
        int64_t limit;
    } limits[] = {
        {"concurrency", state->concurrency},
        {"rpm", state->rpm},
        {"tpm", state->tpm},
    };

    jw_key(w, "limits");
    jw_object(w);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        jw_key(w, limits[i].name);
        limits[i].limit ? jw_int(w, limits[i].limit) : jw_null(w);
    }
    jw_object_end(w);
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct lookup *l = arg;
    AUTO_CLEAR(buf) json = {.max = REPLY_BYTES_MAX};
    char text[DECIMAL_TEXT];
    struct jw w;

    if (l->request && err) {
        reply_err(l->request, err);
    } else if (l->request && !found) {
        reply_problem(l->request, CALLER_NOT_FOUND, "This key's account is not open");
    } else if (l->request) {
        jw_init(&w, &json);
        jw_object(&w);
        jw_string_member(&w, "object", "balance");
        jw_string_member(&w, "account", request_caller(l->request)->holder.owner);
        jw_string_member(&w, "currency", state->currency);
        jw_string_member(&w, "mode", state->prepaid ? "prepaid" : "postpaid");
        jw_string_member(&w, "balance", decimal_format(state->balance, text));
        jw_string_member(
            &w, "held",
            decimal_format((int128)state->balance + state->credit_limit - state->room, text));
        jw_string_member(&w, "available", decimal_format(state->room, text));
        jw_string_member(&w, "credit_limit", decimal_format(state->credit_limit, text));
        jw_int_member(&w, "open_calls", state->open);
        write_limits(&w, state);
        jw_object_end(&w);
        reply_built(l->request, &json);
    }
    free(l);
}
