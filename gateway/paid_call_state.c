/* paid_call_state.c - a call's memory. */
#include "gateway/paid_call_state.h"

#include <stdlib.h>

#include "lib/base/mem.h"

static void tell(struct paid_call *c);

struct paid_call *paid_call_new(struct paid_calls *all, struct http_request *r,
                                const struct caller *caller)
{
    struct paid_call *c = xcalloc(1, sizeof *c);

    c->all = all;
    c->request = r;
    c->holder = caller->holder;
    key_access_hold(c->holder.access);
    c->log = request_log_of(r);
    request_log_hold(c->log);
    memcpy(c->event.request_id, caller->request_id, sizeof c->event.request_id);
    traceparent_take(http_header_get(http_request_head(r), "traceparent"), c->traceparent);
    http_request_take_body(r, &c->body);
    c->next = all->first;
    c->link = &all->first;
    if (c->next)
        c->next->link = &c->next;
    all->first = c;
    all->open++;
    return c;
}

int64_t call_output_cap(const struct paid_call *c)
{
    if (!surface_row(c->wants.surface)->has_output)
        return 0;
    return c->wants.cap && c->wants.cap < c->model->max_output_tokens ? c->wants.cap
                                                                      : c->model->max_output_tokens;
}

/* One that was refused before its BEGIN is a request like any other. */
static void tell(struct paid_call *c)
{
    if (c->state == CALL_SETTLING) {
        request_log_event(c->log, &c->event);
        c->log->is_stream = c->wants.stream;
    }
    request_log_release(c->log);
}

void paid_call_free(struct paid_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->all->open--;
    tell(c);
    timer_free(c->deadline);
    key_access_free(c->holder.access);
    catalogue_free(c->catalogue);
    failure_clear(&c->failure);
    if (c->idempotent)
        explicit_bzero(c->idempotent, sizeof *c->idempotent);
    free(c->idempotent);
    buf_clear(&c->held);
    buf_clear(&c->body);
    free(c);
}
