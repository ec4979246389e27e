/* usage_routes.c - every look-up is by the caller's own account, so another's request id is simply not there. */
#include "gateway/usage_routes.h"

#include <stdlib.h>

#include "gateway/balance.h"
#include "gateway/call_refunds.h"
#include "gateway/receipt_reply.h"
#include "gateway/server.h"
#include "gateway/service.h"
#include "gateway/usage_reply.h"
#include "gateway/usage_view.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

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
static bool parse_line(struct span line, struct event *out, struct err *err);

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
    struct usage_page page;

    (void)match;
    if (usage_page_asked(r, &page))
        history_list(&s->history, request_caller(r)->holder.owner,
                     page.before[0] ? page.before : NULL, page.limit, on_page, lookup_new(s, r));
}

static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err)
{
    struct lookup *l = arg;

    if (l->request)
        usage_reply_page(l->request, lines, count, has_more, err);
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

static bool parse_line(struct span line, struct event *out, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);

    return record && event_parse(record, out, err);
}

void balance_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct server *s = server;

    (void)match;
    balance_answer(&s->ledger, r);
}
