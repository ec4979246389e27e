/* creator_routes.c - the same figures for both, so that what an operator sees is what the creator sees. */
#include "gateway/creator_routes.h"

#include <stdlib.h>

#include "gateway/console_state.h"
#include "gateway/earnings.h"
#include "gateway/readiness.h"
#include "gateway/service.h"
#include "lib/base/mem.h"

static void start(struct console *c, struct http_request *r, const char *creator);
static void on_json(void *arg, const struct buf *json, const struct err *err);

void creator_earnings_get(void *server, struct http_request *r, const struct route_match *match)
{
    (void)match;
    start(server, r, request_caller(r)->holder.owner);
}

void creator_show_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    if (!readiness_has_catalogue(&c->ledger, r))
        return;
    if (catalogue_creator(c->ledger.catalogue, match->value[0]))
        start(c, r, match->value[0]);
    else
        reply_problem(r, CALLER_NOT_FOUND, "There is no creator '%s'", match->value[0]);
}

static void start(struct console *c, struct http_request *r, const char *creator)
{
    struct period period = period_of(clock_now());
    struct http_request **slot;
    char text[16] = "";
    struct err err;

    if (query_get(http_request_query(r), "period", text, sizeof text) != QUERY_ABSENT &&
        !period_parse(span_of(text), &period, &err)) {
        reply_bad_field(r, "period", "'period': %s", err.text);
        return;
    }
    slot = xcalloc(1, sizeof *slot);
    request_keep(r, slot);
    earnings_read(c->ledger.redis, creator, period, on_json, slot);
}

static void on_json(void *arg, const struct buf *json, const struct err *err)
{
    struct http_request **slot = arg;

    if (*slot && err)
        reply_err(*slot, err);
    else if (*slot)
        reply_json(*slot, 200, buf_span(json));
    free(slot);
}
