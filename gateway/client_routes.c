/* client_routes.c - look-ups by the account that the key belongs to, and by nothing else. */
#include "gateway/client_routes.h"

#include <stdlib.h>

#include "gateway/balance.h"
#include "gateway/console_state.h"
#include "gateway/service.h"
#include "gateway/usage_reply.h"
#include "lib/base/mem.h"

static struct http_request **slot_new(struct http_request *r);
static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err);

void client_balance_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;

    (void)match;
    balance_answer(&c->ledger, r);
}

/* Null once the request is over. */
static struct http_request **slot_new(struct http_request *r)
{
    struct http_request **slot = xcalloc(1, sizeof *slot);

    request_keep(r, slot);
    return slot;
}

void client_calls_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct usage_page page;

    (void)match;
    if (usage_page_asked(r, &page))
        history_list(&c->history, request_caller(r)->holder.owner,
                     page.before[0] ? page.before : NULL, page.limit, on_page, slot_new(r));
}

static void on_page(void *arg, const struct span *lines, size_t count, bool has_more,
                    const struct err *err)
{
    struct http_request **slot = arg;

    if (*slot)
        usage_reply_page(*slot, lines, count, has_more, err);
    free(slot);
}
