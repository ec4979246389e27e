/* httpc_call.c - a call's memory, and its wait while nobody has looked up its origin's name. Those that come first have the
 * earliest end, so one timer is enough. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/httpc_link.h"

static struct httpc_call **find(struct httpc_call **list, const struct httpc_call *call);
static void arm(struct httpc *c);
static void make_due(struct httpc *c, int64_t by_ms);
static void end_due(struct httpc *c, const struct err *why);

struct httpc_call *call_new(struct httpc *c, const struct httpc_handlers *handlers, void *arg)
{
    struct httpc_call *call = xcalloc(1, sizeof *call);

    call->client = c;
    call->handlers = *handlers;
    call->arg = arg;
    call->later = (struct turn_end){.run = call_run_later, .arg = call};
    buf_init(&call->head, SIZE_MAX);
    c->call_count++;
    return call;
}

void call_free(struct httpc_call *call)
{
    turn_end_cancel(&call->later);
    buf_clear(&call->head);
    free(call);
}

void call_end(struct httpc_call *call, const struct err *err)
{
    call->client->call_count--;
    call->handlers.on_end(call->arg, err);
    call_free(call);
}

int64_t call_connect_ms(struct httpc_call *call)
{
    int64_t now = clock_monotonic_ms();

    if (!call->connect_by_ms)
        call->connect_by_ms = now + call->client->limits.connect_ms;
    return call->connect_by_ms > now ? call->connect_by_ms - now : 1;
}

const struct addr_list *httpc_addrs(const struct httpc *c, struct err *err)
{
    return c->name ? name_addrs(c->name, err) : &c->addrs;
}

bool httpc_may_connect(const struct httpc *c, const struct addr *to, struct err *err)
{
    char text[ADDR_TEXT];

    return !c->may_connect || c->may_connect(c->may_connect_arg, to) ||
           err_set(err, ERR_DENIED, "%s may not be connected to", addr_format(to, text));
}

/* --- waiting --- */

void call_wait(struct httpc_call *call)
{
    struct httpc *c = call->client;

    (void)call_connect_ms(call);
    call->is_waiting = true;
    call->next = NULL;
    *find(&c->waiting, NULL) = call;
    arm(c);
}

bool call_stop_waiting(struct httpc_call *call)
{
    struct httpc_call **at = find(&call->client->waiting, call);

    if (!call->is_waiting)
        return false;
    if (!*at)
        at = find(&call->client->due, call);
    *at = call->next;
    call->is_waiting = false;
    arm(call->client);
    return true;
}

/* Where that call hangs in the list, or, of null, the list's end. */
static struct httpc_call **find(struct httpc_call **list, const struct httpc_call *call)
{
    while (*list && *list != call)
        list = &(*list)->next;
    return list;
}

static void arm(struct httpc *c)
{
    if (c->waiting)
        timer_start(c->waiting_end, call_connect_ms(c->waiting));
    else
        timer_stop(c->waiting_end);
}

void waiting_name_told(void *httpc)
{
    struct httpc *c = httpc;
    struct err why;

    make_due(c, INT64_MAX);
    end_due(c, name_addrs(c->name, &why) ? NULL : &why);
}

void waiting_over(void *httpc)
{
    struct httpc *c = httpc;
    struct err why;

    err_set(&why, ERR_TIMEOUT, "%s: nobody has looked its name up in time", c->origin);
    make_due(c, clock_monotonic_ms());
    end_due(c, &why);
}

static void make_due(struct httpc *c, int64_t by_ms)
{
    struct httpc_call *call;

    while ((call = c->waiting) && call->connect_by_ms <= by_ms) {
        c->waiting = call->next;
        call->next = NULL;
        *find(&c->due, NULL) = call;
    }
    arm(c);
}

/* Without a reason to end they get their connections. An end may cancel others, begin new ones, and, when it was the last
 * call, free the client. */
static void end_due(struct httpc *c, const struct err *why)
{
    struct httpc_call *call;
    bool is_last = !c->due;

    while (!is_last && (call = c->due)) {
        struct err err;

        c->due = call->next;
        is_last = !c->due;
        call->is_waiting = false;
        if (why || !link_carry(call, &err))
            call_end(call, why ? why : &err);
    }
}
