/* paid_call.c - the life of one paid call. Whatever happens — an answer, a hang-up, a lost backend, a deadline — the call
 * ends once, by one of the ways in paid_call_end.h. */
#include "gateway/paid_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/backend_choice.h"
#include "gateway/key_gate.h"
#include "gateway/paid_call_end.h"
#include "gateway/repetition.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CLOSING_BYTES_MAX (1024 * 1024) /* of a stream's end, held back */
#define NOTE_MS           1000
#define CUT_POLL_MS       20
#define KEY_READINGS_MAX  3 /* a key that changes faster than it is read */

static bool read_body(struct paid_call *c, enum surface surface);
static bool read_idempotency_key(struct paid_call *c, const struct caller *caller);
static bool choose_model(struct paid_call *c, const struct caller *caller);
static bool serves(struct paid_call *c);
static bool reserve(struct paid_call *c);
static void admit(struct paid_call *c);
static void on_admitted(void *arg, const struct admission_answer *answer, const struct err *err);
static void read_key_again(struct paid_call *c);
static void on_key_again(void *arg, enum key_verdict verdict, const struct key_holder *holder);
static void on_client_gone(void *arg);
static bool try_next_backend(struct paid_call *c, struct backend_result *why);
static void refuse(struct paid_call *c, enum problem p, const char *param, const char *text);

struct paid_calls *paid_calls_new(struct server *server)
{
    struct paid_calls *all = xcalloc(1, sizeof *all);

    all->server = server;
    all->scanner = call_request_scanner();
    return all;
}

void paid_calls_free(struct paid_calls *all)
{
    if (!all)
        return;
    assert(!all->first);
    jscan_free(all->scanner);
    free(all);
}

size_t paid_calls_open(const struct paid_calls *all)
{
    return all->open;
}

void paid_call_start(struct paid_calls *all, struct http_request *r, const struct caller *caller,
                     enum surface surface)
{
    struct paid_call *c = paid_call_new(all, r, caller);
    struct gate_refusal why;

    if (!read_body(c, surface) || !read_idempotency_key(c, caller) || !choose_model(c, caller) ||
        !reserve(c)) {
        paid_call_free(c);
        return;
    }
    http_request_set_data(c->request, c);
    http_request_watch(c->request, on_client_gone, NULL);
    c->state = CALL_ADMITTING;
    if (gate_lets_call(&c->holder, c->model->id, &why))
        admit(c);
    else
        read_key_again(c);
}

static bool read_body(struct paid_call *c, enum surface surface)
{
    struct err err;
    const char *param;

    if (call_request_read(c->all->scanner, surface, buf_span(&c->body), &c->wants, &param, &err))
        return true;
    refuse(c, param ? CALLER_BAD_REQUEST : CALLER_BAD_JSON, param, err.text);
    return false;
}

static bool read_idempotency_key(struct paid_call *c, const struct caller *caller)
{
    struct span key;
    struct err err;

    if (!idempotency_key_read(http_request_head(c->request), &key, &err)) {
        refuse(c, CALLER_BAD_REQUEST, NULL, err.text);
        return false;
    }
    if (key.data) {
        struct asked asked = {http_request_path(c->request), buf_span(&c->body)};

        c->idempotent = xcalloc(1, sizeof *c->idempotent);
        idempotents_derive(&c->all->server->installation->peppers, caller->holder.owner, key,
                           &asked, c->idempotent);
    }
    return true;
}

static bool choose_model(struct paid_call *c, const struct caller *caller)
{
    struct server *server = c->all->server;
    struct meter_subject subject = {caller->request_id, caller->holder.owner,
                                    caller->holder.public_id, NULL};
    char text[ERR_TEXT_MAX];
    struct err err;

    c->catalogue = catalogue_hold(server->ledger.catalogue);
    subject.model = c->model = catalogue_model(c->catalogue, c->wants.model);
    if (!c->model) {
        snprintf(text, sizeof text,
                 "The model '%s' does not exist; GET /v1/models lists what this key may call",
                 c->wants.model);
        refuse(c, CALLER_UNKNOWN_MODEL, "model", text);
        return false;
    }
    if (!serves(c))
        return false;
    if (!meter_begin(c->catalogue, &subject, journal_now(server->ledger.journal), &c->event,
                     &c->price, &err)) {
        refuse(c, CALLER_UNKNOWN_MODEL, "model", err.text);
        return false;
    }
    if (c->idempotent)
        c->event.idempotency = c->idempotent->by[0].digests;
    if (strcmp(c->holder.first_key, c->holder.public_id) != 0)
        memcpy(c->event.first_key, c->holder.first_key, sizeof c->event.first_key);
    return true;
}

/* A model that is called in a way that it does not serve. */
static bool serves(struct paid_call *c)
{
    char text[ERR_TEXT_MAX];

    if (model_serves(c->model, c->wants.surface))
        return true;
    snprintf(text, sizeof text,
             "The model '%s' is not served at %s; GET /v1/models lists the surfaces of each",
             c->wants.model, surface_row(c->wants.surface)->path);
    refuse(c, CALLER_WRONG_SURFACE, "model", text);
    return false;
}

static bool reserve(struct paid_call *c)
{
    struct err err;

    if (journal_reserve(c->all->server->ledger.journal, &err))
        return true;
    log_warn("journal_full", "a call was refused: %s", err.text);
    refuse(c, GATEWAY_JOURNAL_FULL, NULL, problem_row(GATEWAY_JOURNAL_FULL)->message);
    return false;
}

static int64_t output_cap(const struct paid_call *c)
{
    if (!surface_row(c->wants.surface)->has_output)
        return 0;
    return c->wants.cap && c->wants.cap < c->model->max_output_tokens ? c->wants.cap
                                                                      : c->model->max_output_tokens;
}

static void admit(struct paid_call *c)
{
    struct admission_request request = {.request_id = c->event.request_id,
                                        .account = c->event.account,
                                        .key = c->event.key,
                                        .first_key = c->holder.first_key,
                                        .key_access = key_access_json(c->holder.access),
                                        .started_at = c->event.started_at,
                                        .currency = c->event.amount.currency,
                                        .tokens =
                                            (int64_t)c->body.len + c->wants.n * output_cap(c)};
    struct claim claim;
    struct err err;

    if (c->idempotent) {
        claim_of(&c->event, &claim);
        request.claim = &claim;
        idempotents_other_names(c->idempotent, &request.also);
    }
    if (!meter_worst_case(c->price, (int64_t)c->body.len, output_cap(c), c->wants.n,
                          &request.amount_nanos, &err)) {
        journal_unreserve(c->all->server->ledger.journal);
        refuse(c, CALLER_BAD_REQUEST, NULL, err.text);
        paid_call_free(c);
        return;
    }
    c->hold = admission_admit(c->all->server->admission, &request, on_admitted, c);
}

/* Before BEGIN: the request is answered and nothing is recorded. */
static void refuse(struct paid_call *c, enum problem p, const char *param, const char *text)
{
    struct problem_details details = {.request_id = c->event.request_id, .param = param};

    http_request_watch(c->request, NULL, NULL);
    problem_reply(c->request, p, &details, "%s", text);
}

static void on_deadline(void *arg);

static void turn_away(struct paid_call *c, const struct admission_answer *answer);

/* When Redis is away every call fails alike: one line a second says it, with how many it stands for. */
static void note_unadmitted(struct paid_calls *all, const struct err *err)
{
    int64_t now = clock_monotonic_ms();

    all->unnoted++;
    if (now - all->noted_ms < NOTE_MS)
        return;
    log_warn("admit_failed", "%s (%" PRIu64 " calls refused since the last such line)", err->text,
             all->unnoted);
    all->noted_ms = now;
    all->unnoted = 0;
}

static void on_admitted(void *arg, const struct admission_answer *answer, const struct err *err)
{
    struct paid_call *c = arg;
    struct server *server = c->all->server;
    struct backend_result none = {.outcome = BACKEND_BROKEN};

    if (answer->verdict == VERDICT_KEY_CHANGED && c->key_readings < KEY_READINGS_MAX) {
        read_key_again(c);
        return;
    }
    c->log->admitted = clock_monotonic();
    if (answer->verdict != VERDICT_ADMITTED) {
        if (err && err->code)
            note_unadmitted(c->all, err);
        turn_away(c, answer);
        return;
    }
    memcpy(c->rates, answer->rates, sizeof c->rates);
    c->state = CALL_WAITING;
    journal_begin(server->ledger.journal, &c->event);
    c->deadline = timer_new(server->loop, on_deadline, c);
    timer_start(c->deadline, server->options->total_timeout);
    if (!try_next_backend(c, &none))
        call_fail(c, &none);
}

/* What the key opens may have changed since it was read: it was admitted no more, or is about to be refused. All that is
 * asked anew. */
static void read_key_again(struct paid_call *c)
{
    if (c->hold)
        hold_abandon(c->hold);
    c->hold = NULL;
    c->key_readings++;
    c->check = keyring_check_again(c->all->server->ledger.keyring, &c->holder, on_key_again, c);
}

static void on_key_again(void *arg, enum key_verdict verdict, const struct key_holder *holder)
{
    struct paid_call *c = arg;
    struct gate_refusal why = {.problem = GATEWAY_UNAVAILABLE};

    c->check = NULL;
    if (verdict == KEY_GOOD) {
        key_access_free(c->holder.access);
        c->holder = *holder;
        key_access_hold(c->holder.access);
        if (gate_lets_in(&c->holder, SCOPE_CALL, c->request, &why) &&
            gate_lets_call(&c->holder, c->model->id, &why)) {
            admit(c);
            return;
        }
    } else {
        why.problem = gate_problem_of_verdict(verdict);
        snprintf(why.text, sizeof why.text, "%s", problem_row(why.problem)->message);
    }
    journal_unreserve(c->all->server->ledger.journal);
    refuse(c, why.problem, why.problem == POLICY_KEY_MODEL ? "model" : NULL, why.text);
    paid_call_free(c);
}

/* Nothing was begun: the request is told why, or, when its idempotency key was answered before, what came of that. */
static void turn_away(struct paid_call *c, const struct admission_answer *answer)
{
    struct money asked = {.nanos = hold_amount(c->hold)};

    memcpy(asked.currency, c->event.amount.currency, sizeof asked.currency);
    hold_abandon(c->hold);
    journal_unreserve(c->all->server->ledger.journal);
    http_request_watch(c->request, NULL, NULL);
    if (answer->verdict == VERDICT_ANSWERED && c->idempotent &&
        answer->earlier_name < c->idempotent->count)
        repetition_answer(c->all->server, c->request,
                          &(struct repeated){.account = c->event.account,
                                             .request_id = answer->earlier,
                                             .stream = c->wants.stream,
                                             .by = &c->idempotent->by[answer->earlier_name]});
    else
        refusal_reply(c->request, answer, &asked, c->event.request_id);
    paid_call_free(c);
}

/* ------------------------------------------------------------------ the backend */

static void on_backend_start(void *arg, unsigned status, struct span content_type);
static void on_backend_event(void *arg, const struct backend_event *event);
static void on_backend_end(void *arg, const struct backend_result *result);

static bool begin_backend(struct paid_call *c, const struct model_backend *choice, struct err *err);

/* False: there is none, and `*why` is how the call ends. */
static bool try_next_backend(struct paid_call *c, struct backend_result *why)
{
    const struct server *server = c->all->server;
    const struct model_backend *choice;
    int64_t wait_ms;

    while ((choice = backend_choose(c->model, backends_open(server, c->model, c->tried,
                                                            clock_monotonic_ms(), &wait_ms)))) {
        c->tried |= UINT64_C(1) << (choice - c->model->backends);
        if (begin_backend(c, choice, &why->err))
            return true;
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
        .output_cap = output_cap(c),
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
    if (err->code == ERR_INPUT) /* the request's fault */
        not_begun.outcome = BACKEND_CANCELLED;
    breaker_end(&c->served->breaker, &c->trial, &not_begun, clock_monotonic_ms());
    return false;
}

static void on_client_drained(void *arg);
static void stop_backend(struct paid_call *c, enum stop why);

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
    if (c->content > output_cap(c) * c->wants.n) {
        stop_backend(c, STOP_LIMIT);
    } else if (http_reply_is_full(c->request)) {
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

static void stop_backend(struct paid_call *c, enum stop why)
{
    if (c->stop != STOP_NONE)
        return;
    c->stop = why;
    backend_resume(c->backend);
    backend_cancel(c->backend);
}

static void on_deadline(void *arg)
{
    struct paid_call *c = arg;

    if (c->backend)
        stop_backend(c, STOP_TIMEOUT);
    else if (c->is_confirming)
        call_confirm(c);
    else if (call_is_still_taking(c))
        timer_start(c->deadline, CUT_POLL_MS);
    else
        call_cut_now(c, &c->usage, c->cut_outcome);
}

/* A stream's client that hung up gets what its socket took counted now, since the request is dead afterwards. */
static void on_client_gone(void *arg)
{
    struct paid_call *c = arg;

    if (c->state == CALL_ANSWERING && c->wants.stream)
        meter_handed(&c->marks, http_reply_taken(c->request));
    c->request = NULL;
    if (c->state == CALL_ADMITTING) {
        if (c->check)
            key_check_cancel(c->check);
        if (c->hold)
            hold_abandon(c->hold);
        journal_unreserve(c->all->server->ledger.journal);
        paid_call_free(c);
    } else if (c->backend && !c->model->drain_on_disconnect) {
        stop_backend(c, STOP_CLIENT_GONE);
    } else if (c->backend) {
        backend_resume(c->backend);
    }
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
        try_next_backend(c, &none))
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

void paid_calls_cut(struct paid_calls *all)
{
    for (struct paid_call *c = all->first; c; c = c->next)
        if (c->backend)
            stop_backend(c, STOP_DRAIN);
}

void paid_calls_progress(struct paid_calls *all)
{
    for (struct paid_call *c = all->first; c; c = c->next) {
        int64_t before = c->event.amount.nanos;

        if (c->state != CALL_ANSWERING || !c->wants.stream || !c->request || !c->backend)
            continue;
        if (meter_cut(&c->event, c->price, backend_usage(c->backend), (int64_t)c->body.len,
                      call_handed(c), NULL) &&
            c->event.amount.nanos != before)
            journal_progress(all->server->ledger.journal, &c->event);
    }
}
