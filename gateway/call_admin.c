/* call_admin.c - the call is searched for first; what is shown of it comes after. */
#include "gateway/call_admin.h"

#include <stdlib.h>

#include "gateway/call_refunds.h"
#include "gateway/call_search.h"
#include "gateway/console_state.h"
#include "gateway/receipt_reply.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (1024 * 1024)

struct look;
typedef void look_on_call(struct look *l, struct span line);

struct look {
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    char wanted[REQUEST_ID_TEXT], op[ID_TEXT];
    look_on_call *on_call;
    struct event event;
};

static void start_look(struct console *c, struct http_request *r, const struct route_match *match,
                       look_on_call *on_call);
static void on_found(void *arg, const struct span *line, const struct err *err);
static void read_refunds(struct look *l, struct span line);
static void show_receipt(struct look *l, struct span line);
static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err);
static void show_call(struct look *l, const struct refund_set *refunds);

void call_admin_get(void *server, struct http_request *r, const struct route_match *match)
{
    start_look(server, r, match, read_refunds);
}

void call_receipt_admin_get(void *server, struct http_request *r, const struct route_match *match)
{
    start_look(server, r, match, show_receipt);
}

void refund_receipt_admin_get(void *server, struct http_request *r, const struct route_match *match)
{
    if (id_is_valid(span_of(match->value[1])))
        start_look(server, r, match, read_refunds);
    else
        reply_problem(r, CALLER_NOT_FOUND, "'%s' is no refund's operation id", match->value[1]);
}

static void start_look(struct console *c, struct http_request *r, const struct route_match *match,
                       look_on_call *on_call)
{
    struct look *l;

    if (!request_id_is_valid(span_of(match->value[0]))) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%s' is no request id; it stands in the x-request-id header of the answer",
                      match->value[0]);
        return;
    }
    l = xcalloc(1, sizeof *l);
    l->console = c;
    l->on_call = on_call;
    memcpy(l->wanted, match->value[0], strlen(match->value[0]) + 1); /* a valid one fits */
    if (match->count > 1)
        memcpy(l->op, match->value[1], strlen(match->value[1]) + 1); /* likewise */
    request_keep(r, &l->request);
    call_search(&c->history, l->wanted, on_found, l);
}

static void on_found(void *arg, const struct span *line, const struct err *err)
{
    struct look *l = arg;
    AUTO_JSON record = NULL;
    struct err bad;

    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request && !line)
        reply_problem(l->request, CALLER_NOT_FOUND, "there is no call %s", l->wanted);
    else if (l->request &&
             (!(record = json_parse(*line, &bad)) || !event_parse(record, &l->event, &bad)))
        reply_err(l->request, &bad);
    else if (l->request) {
        l->on_call(l, *line);
        return;
    }
    free(l);
}

static void show_receipt(struct look *l, struct span line)
{
    receipt_reply(l->request, line, l->console->installation->signing_key);
    free(l);
}

static void read_refunds(struct look *l, struct span line)
{
    (void)line;
    call_refunds_read(l->console->ledger.redis, l->event.account, l->wanted, on_refunds, l);
}

static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err)
{
    struct look *l = arg;

    if (l->request && err)
        reply_err(l->request, err);
    else if (l->request && l->op[0])
        receipt_reply_refund(l->request, refunds, l->op, l->console->installation->signing_key);
    else if (l->request)
        show_call(l, refunds);
    free(l);
}

static void show_call(struct look *l, const struct refund_set *refunds)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    event_write_members(&l->event, &w);
    call_refunds_write(refunds, &w);
    jw_object_end(&w);
    reply_built(l->request, &json);
}
