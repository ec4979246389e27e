/* paid_call_backend.c - one backend after the other until one may have begun; then what it says passes, as fast as the client
 * takes it. */
#include "gateway/paid_call_backend.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/backend_choice.h"
#include "gateway/paid_call_end.h"

#define CLOSING_BYTES_MAX (1024 * 1024) /* of a stream's end, held back */

static bool begin_backend(struct paid_call *c, const struct model_backend *choice, struct err *err);
static void on_backend_start(void *arg, unsigned status, struct span content_type);
static void on_backend_event(void *arg, const struct backend_event *event);
static void on_client_drained(void *arg);
static void on_backend_end(void *arg, const struct backend_result *result);
static void note_health(struct paid_call *c, const struct backend_result *result);

bool call_send(struct paid_call *c, struct backend_result *why)
{
    const struct server *server = c->all->server;
    const struct model_backend *choice;
    bool has_failed = false;
    int64_t wait_ms;
    struct err err;

    while ((choice = backend_choose(c->model, backends_open(server, c->model, c->tried,
                                                            clock_monotonic_ms(), &wait_ms)))) {
        c->tried |= UINT64_C(1) << (choice - c->model->backends);
        if (begin_backend(c, choice, &err))
            return true;
        if (!has_failed ||
            err.code != ERR_NOT_FOUND) /* what passes says more than what never can be */
            why->err = err;
        has_failed = true;
    }
    if (wait_ms) {
        why->outcome = BACKEND_REFUSED;
        why->status = 503;
        why->retry_after_ms = wait_ms;
        err_set(&why->err, ERR_UNAVAILABLE,
                "all that could be tried are left alone for another %" PRId64 " ms", wait_ms);
    } else if (!c->tried) {
        err_set(&why->err, ERR_NOT_FOUND, "none of its backends is in the config");
    }
    return false;
}

static bool begin_backend(struct paid_call *c, const struct model_backend *choice, struct err *err)
{
    static const struct backend_handlers handlers = {on_backend_start, on_backend_event,
                                                     on_backend_end};
    struct backend_request request = {
        .dialect = surface_row(c->wants.surface)->dialect,
        .body = buf_span(&c->body),
        .model_value = c->wants.model_value,
        .model = choice->model,
        .stream = c->wants.stream,
        .choices = c->wants.n,
        .output_cap = call_output_cap(c),
        .cap_value = c->wants.cap_value,
        .stream_options = c->wants.stream_options,
        .usage_wanted = c->wants.usage_wanted,
        .request_id = c->event.request_id,
        .traceparent = c->traceparent[0] ? c->traceparent : NULL,
    };
    struct backend_result not_begun = {.outcome = BACKEND_BROKEN};

    c->served = backend_find(c->all->server, choice->name);
    memcpy(c->event.backend, choice->name, sizeof c->event.backend);
    breaker_begin(&c->served->breaker, &c->trial, clock_monotonic_ms());
    c->backend = backend_start(c->served->backend, &request, &handlers, c, err);
    if (c->backend)
        return true;
    not_begun.err = *err;
    if (err->code == ERR_INPUT || err->code == ERR_NOT_FOUND) /* not the server's fault */
        not_begun.outcome = BACKEND_CANCELLED;
    breaker_end(&c->served->breaker, &c->trial, &not_begun, clock_monotonic_ms());
    return false;
}

static void on_backend_start(void *arg, unsigned status, struct span content_type)
{
    struct paid_call *c = arg;

    (void)status;
    breaker_answering(&c->served->breaker, &c->trial);
    c->state = CALL_ANSWERING;
    c->log->first_byte = clock_monotonic();
    buf_init(&c->held,
             c->wants.stream ? CLOSING_BYTES_MAX : (size_t)c->all->server->options->reply_bytes);
    if (!span_copy(content_type, c->content_type, sizeof c->content_type))
        snprintf(c->content_type, sizeof c->content_type, "%s",
                 c->wants.stream ? "text/event-stream" : "application/json");
    if (c->wants.stream && c->request)
        answer_begin_stream(c->request, c->content_type, c->event.request_id, c->rates);
}

static void on_backend_event(void *arg, const struct backend_event *event)
{
    struct paid_call *c = arg;

    c->came += event->content;
    if (c->wants.stream && c->came > call_output_cap(c) * c->wants.n) {
        call_stop_backend(c, STOP_LIMIT);
        return;
    }
    if (event->closing || !c->wants.stream) {
        if (!c->held.len && c->wants.stream)
            c->held.max = CLOSING_BYTES_MAX;
        buf_add_span(&c->held, event->bytes);
        return;
    }
    if (!c->request)
        return;
    http_reply_write(c->request, event->bytes);
    c->is_between_events = answer_ends_event(event->bytes);
    c->content += event->content;
    meter_mark(&c->marks, http_reply_offered(c->request), c->content);
    if (http_reply_is_full(c->request)) {
        backend_pause(c->backend);
        http_reply_on_drained(c->request, on_client_drained);
    }
}

static void on_client_drained(void *arg)
{
    struct paid_call *c = arg;

    if (c->backend)
        backend_resume(c->backend);
}

void call_stop_backend(struct paid_call *c, enum stop why)
{
    if (c->stop != STOP_NONE)
        return;
    c->stop = why;
    backend_resume(c->backend);
    backend_cancel(c->backend);
}

/* A backend that had not begun to answer when the call's whole time was over is late. */
static void note_health(struct paid_call *c, const struct backend_result *result)
{
    struct backend_result seen = *result;

    if (c->stop == STOP_TIMEOUT && c->state == CALL_WAITING) {
        seen.outcome = BACKEND_TIMED_OUT;
        err_set(&seen.err, ERR_TIMEOUT, "no answer within the call's whole time");
    }
    breaker_end(&c->served->breaker, &c->trial, &seen, clock_monotonic_ms());
}

static void on_backend_end(void *arg, const struct backend_result *result)
{
    static const enum outcome outcomes[] = {[STOP_CLIENT_GONE] = OUTCOME_CLIENT_CLOSED,
                                            [STOP_TIMEOUT] = OUTCOME_TIMEOUT,
                                            [STOP_LIMIT] = OUTCOME_LIMIT,
                                            [STOP_DRAIN] = OUTCOME_KILLED};
    struct paid_call *c = arg;
    struct backend_result none;

    c->backend = NULL;
    note_health(c, result);
    if (result->outcome == BACKEND_COMPLETE && c->stop == STOP_NONE && !c->held.failed) {
        call_complete(c, &result->usage);
        return;
    }
    if (c->stop == STOP_NONE && c->request && !result->accepted && c->state == CALL_WAITING &&
        call_send(c, &none))
        return;
    if (c->stop == STOP_NONE) {
        call_fail(c, result);
        return;
    }
    c->has_failed = true;
    failure_of_stop(&c->failure, c->stop == STOP_TIMEOUT ? UPSTREAM_TIMEOUT
                                 : c->stop == STOP_DRAIN ? GATEWAY_DRAINING
                                                         : UPSTREAM_BROKEN);
    call_cut(c, &result->usage, outcomes[c->stop]);
}
