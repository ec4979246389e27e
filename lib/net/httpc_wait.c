/* httpc_wait.c - calls to a name that nobody has looked up yet. Those that come first have the earliest end, so one timer is
 * enough. */
#include "lib/base/clock.h"
#include "lib/net/httpc_link.h"

static struct httpc_call **find(struct httpc_call **list, const struct httpc_call *call);
static void arm(struct httpc *c);
static void make_due(struct httpc *c, int64_t by_ms);
static void end_due(struct httpc *c, const struct err *why);

void call_wait(struct httpc_call *call)
{
    struct httpc *c = call->client;

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
    int64_t ms = c->waiting ? c->waiting->connect_by_ms - clock_monotonic_ms() : 0;

    if (c->waiting)
        timer_start(c->waiting_end, ms > 0 ? ms : 0);
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
