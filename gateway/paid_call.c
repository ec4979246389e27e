/* paid_call.c - the life of one paid call. Whatever happens — an answer, a hang-up, a lost backend, a deadline — the call
 * passes through settle() once, and what ends its answer leaves only from on_durable(). */
#include "gateway/paid_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/backend_choice.h"
#include "gateway/meter.h"
#include "gateway/refusal.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CLOSING_BYTES_MAX (1024 * 1024) /* of a stream's end, held back */
#define CUT_WAIT_MS       5000
#define NOTE_MS           1000
#define CUT_POLL_MS       20
#define CONTENT_TYPE_TEXT 128

enum call_state {
    CALL_ADMITTING, /* waits for the ledger's yes */
    CALL_WAITING,   /* BEGIN is queued, a backend is at work, nothing of its answer is here yet */
    CALL_ANSWERING, /* the answer has begun */
    CALL_SETTLING,  /* END is queued; the last bytes wait for it */
};

/* Why we stopped a backend ourselves. */
enum stop { STOP_NONE, STOP_CLIENT_GONE, STOP_TIMEOUT, STOP_LIMIT, STOP_DRAIN };

struct paid_calls {
    struct server *server;
    struct jscan *scanner;
    struct paid_call *first;
    size_t open;
    int64_t noted_ms; /* when the last admit that failed was logged */
    uint64_t unnoted; /* those since */
};

struct paid_call {
    struct paid_calls *all;
    struct paid_call *next, **link;
    enum call_state state;
    enum stop stop;

    struct http_request *request; /* null once the client is gone */
    struct buf body;
    struct chat_request chat;

    struct catalogue *catalogue; /* held, since `model` and `price` live in it */
    const struct model *model;
    const struct price *price;
    struct event event;
    struct hold *hold;

    uint64_t tried; /* one bit a backend of the model */
    struct backend_call *backend;
    struct timer *deadline;

    char traceparent[TRACEPARENT_TEXT]; /* or "" */
    char content_type[CONTENT_TYPE_TEXT];
    int64_t content;        /* chunks given to the client's queue */
    bool is_between_events; /* what was given to it last ended an event */
    struct meter_marks marks;
    struct buf held;    /* what leaves after END */
    struct usage usage; /* of a stream that is about to be cut, and as what */
    enum outcome cut_outcome;
    int64_t cut_by_ms; /* monotonic */
    bool answered;     /* an answer had begun when it settled */
    bool has_failed;
    struct failure failure;
};

static struct paid_call *call_new(struct paid_calls *all, struct http_request *r,
                                  const struct caller *caller);
static void call_free(struct paid_call *c);
static bool read_chat(struct paid_call *c);
static bool choose_model(struct paid_call *c, const struct caller *caller);
static bool reserve(struct paid_call *c);
static void admit(struct paid_call *c);
static void on_admitted(void *arg, const struct admission_answer *answer, const struct err *err);
static void on_client_gone(void *arg);
static bool try_next_backend(struct paid_call *c, struct err *err);
static void settle(struct paid_call *c, enum outcome outcome);
static void refuse(struct paid_call *c, enum problem p, const char *param, const char *text);

struct paid_calls *paid_calls_new(struct server *server)
{
    struct paid_calls *all = xcalloc(1, sizeof *all);

    all->server = server;
    all->scanner = chat_request_scanner();
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

void paid_call_start(struct paid_calls *all, struct http_request *r, const struct caller *caller)
{
    struct paid_call *c = call_new(all, r, caller);

    if (read_chat(c) && choose_model(c, caller) && reserve(c))
        admit(c);
    else
        call_free(c);
}

static struct paid_call *call_new(struct paid_calls *all, struct http_request *r,
                                  const struct caller *caller)
{
    struct paid_call *c = xcalloc(1, sizeof *c);

    c->all = all;
    c->request = r;
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

static void call_free(struct paid_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->all->open--;
    timer_free(c->deadline);
    catalogue_free(c->catalogue);
    failure_clear(&c->failure);
    buf_clear(&c->held);
    buf_clear(&c->body);
    free(c);
}

static bool read_chat(struct paid_call *c)
{
    struct err err;
    const char *param;

    if (chat_request_read(c->all->scanner, buf_span(&c->body), &c->chat, &param, &err))
        return true;
    refuse(c, param ? CALLER_BAD_REQUEST : CALLER_BAD_JSON, param, err.text);
    return false;
}

static bool choose_model(struct paid_call *c, const struct caller *caller)
{
    struct server *server = c->all->server;
    struct meter_subject subject = {caller->request_id, caller->holder.owner,
                                    caller->holder.public_id, NULL};
    char text[ERR_TEXT_MAX];
    struct err err;

    c->catalogue = catalogue_hold(server->ledger.catalogue);
    subject.model = c->model = catalogue_model(c->catalogue, c->chat.model);
    if (!c->model) {
        snprintf(text, sizeof text,
                 "The model '%s' does not exist; GET /v1/models lists what this key may call",
                 c->chat.model);
        refuse(c, CALLER_UNKNOWN_MODEL, "model", text);
        return false;
    }
    if (!meter_begin(c->catalogue, &subject, journal_now(server->ledger.journal), &c->event,
                     &c->price, &err)) {
        refuse(c, CALLER_UNKNOWN_MODEL, "model", err.text);
        return false;
    }
    return true;
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
    return c->chat.cap && c->chat.cap < c->model->max_output_tokens ? c->chat.cap
                                                                    : c->model->max_output_tokens;
}

static void admit(struct paid_call *c)
{
    struct admission_request request = {.request_id = c->event.request_id,
                                        .account = c->event.account,
                                        .key = c->event.key,
                                        .currency = c->event.amount.currency};
    struct err err;

    if (!meter_worst_case(c->price, (int64_t)c->body.len, output_cap(c), c->chat.n,
                          &request.amount_nanos, &err)) {
        journal_unreserve(c->all->server->ledger.journal);
        refuse(c, CALLER_BAD_REQUEST, NULL, err.text);
        call_free(c);
        return;
    }
    http_request_set_data(c->request, c);
    http_request_watch(c->request, on_client_gone, NULL);
    c->state = CALL_ADMITTING;
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
static bool is_still_taking(const struct paid_call *c);
static void cut_now(struct paid_call *c, const struct usage *usage, enum outcome outcome);
static void fail(struct paid_call *c, const struct backend_result *result);

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
    struct err reason = {0};

    if (answer->verdict != VERDICT_ADMITTED) {
        struct money asked = {.nanos = hold_amount(c->hold)};

        memcpy(asked.currency, c->event.amount.currency, sizeof asked.currency);
        if (err && err->code)
            note_unadmitted(c->all, err);
        hold_abandon(c->hold);
        journal_unreserve(server->ledger.journal);
        http_request_watch(c->request, NULL, NULL);
        refusal_reply(c->request, answer, &asked, c->event.request_id);
        call_free(c);
        return;
    }
    c->state = CALL_WAITING;
    journal_begin(server->ledger.journal, &c->event);
    c->deadline = timer_new(server->loop, on_deadline, c);
    timer_start(c->deadline, server->options->total_timeout);
    if (!try_next_backend(c, &reason))
        fail(c, &(struct backend_result){.outcome = BACKEND_BROKEN, .err = reason});
}

/* ------------------------------------------------------------------ the backend */

static void on_backend_start(void *arg, unsigned status, struct span content_type);
static void on_backend_event(void *arg, const struct backend_event *event);
static void on_backend_end(void *arg, const struct backend_result *result);

static bool try_next_backend(struct paid_call *c, struct err *err)
{
    static const struct backend_handlers handlers = {on_backend_start, on_backend_event,
                                                     on_backend_end};
    const struct model_backend *choice;
    struct backend_request request = {
        .dialect = DIALECT_OPENAI_CHAT,
        .body = buf_span(&c->body),
        .model_value = c->chat.model_value,
        .stream = c->chat.stream,
        .choices = c->chat.n,
        .output_cap = output_cap(c),
        .cap_value = c->chat.cap_value,
        .stream_options = c->chat.stream_options,
        .usage_wanted = c->chat.usage_wanted,
        .request_id = c->event.request_id,
        .traceparent = c->traceparent[0] ? c->traceparent : NULL,
    };

    while ((choice = backend_choose(c->model, &c->tried))) {
        struct backend *backend = backend_find(c->all->server, choice->name);

        request.model = choice->model;
        if (!backend) {
            err_set(err, ERR_NOT_FOUND, "backend %s of model %s is not configured", choice->name,
                    c->model->id);
            continue;
        }
        if ((c->backend = backend_start(backend, &request, &handlers, c, err)) &&
            span_copy(span_of(choice->name), c->event.backend, sizeof c->event.backend))
            return true;
    }
    return false;
}

static void on_client_drained(void *arg);
static void stop_backend(struct paid_call *c, enum stop why);

static void on_backend_start(void *arg, unsigned status, struct span content_type)
{
    struct paid_call *c = arg;

    (void)status;
    c->state = CALL_ANSWERING;
    buf_init(&c->held,
             c->chat.stream ? CLOSING_BYTES_MAX : (size_t)c->all->server->options->reply_bytes);
    if (!span_copy(content_type, c->content_type, sizeof c->content_type))
        snprintf(c->content_type, sizeof c->content_type, "%s",
                 c->chat.stream ? "text/event-stream" : "application/json");
    if (c->chat.stream && c->request)
        answer_begin_stream(c->request, c->content_type, c->event.request_id);
}

static void on_backend_event(void *arg, const struct backend_event *event)
{
    struct paid_call *c = arg;

    if (event->closing || !c->chat.stream) {
        if (!c->held.len && c->chat.stream)
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
    if (c->content > output_cap(c) * c->chat.n) {
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
    else if (is_still_taking(c))
        timer_start(c->deadline, CUT_POLL_MS);
    else
        cut_now(c, &c->usage, c->cut_outcome);
}

/* A slow client is given some time for what was queued before the stream was cut, since it will read it and owes it. */
static bool is_still_taking(const struct paid_call *c)
{
    return c->request && http_reply_taken(c->request) < http_reply_offered(c->request) &&
           clock_monotonic_ms() < c->cut_by_ms;
}

/* A stream's client that hung up gets what its socket took counted now, since the request is dead afterwards. */
static void on_client_gone(void *arg)
{
    struct paid_call *c = arg;

    if (c->state == CALL_ANSWERING && c->chat.stream)
        meter_handed(&c->marks, http_reply_taken(c->request));
    c->request = NULL;
    if (c->state == CALL_ADMITTING) {
        hold_abandon(c->hold);
        journal_unreserve(c->all->server->ledger.journal);
        call_free(c);
    } else if (c->backend && !c->model->drain_on_disconnect) {
        stop_backend(c, STOP_CLIENT_GONE);
    } else if (c->backend) {
        backend_resume(c->backend);
    }
}

/* ------------------------------------------------------------------ the end */

static void on_durable(void *arg);
static void complete(struct paid_call *c, const struct usage *usage);
static void cut(struct paid_call *c, const struct usage *usage, enum outcome outcome);
static int64_t handed(struct paid_call *c);
static void finish_answer(struct paid_call *c);
static void finish_failure(struct paid_call *c);

static void on_backend_end(void *arg, const struct backend_result *result)
{
    static const enum outcome outcomes[] = {[STOP_CLIENT_GONE] = OUTCOME_CLIENT_CLOSED,
                                            [STOP_TIMEOUT] = OUTCOME_TIMEOUT,
                                            [STOP_LIMIT] = OUTCOME_LIMIT,
                                            [STOP_DRAIN] = OUTCOME_KILLED};
    struct paid_call *c = arg;
    struct err err;

    c->backend = NULL;
    if (result->outcome == BACKEND_COMPLETE && c->stop == STOP_NONE && !c->held.failed) {
        complete(c, &result->usage);
        return;
    }
    if (c->stop == STOP_NONE && c->request && !result->accepted && c->state == CALL_WAITING &&
        try_next_backend(c, &err))
        return;
    if (c->stop == STOP_NONE) {
        fail(c, result);
        return;
    }
    c->has_failed = true;
    failure_of_stop(&c->failure, c->stop == STOP_TIMEOUT ? UPSTREAM_TIMEOUT
                                 : c->stop == STOP_DRAIN ? GATEWAY_DRAINING
                                                         : UPSTREAM_BROKEN);
    cut(c, &result->usage, outcomes[c->stop]);
}

static void complete(struct paid_call *c, const struct usage *usage)
{
    struct err err;

    if (!meter_whole(&c->event, c->price, usage, &err)) {
        log_error("unrated_call", "call %s of model %s could not be rated and is not charged: %s",
                  c->event.request_id, c->model->id, err.text);
        meter_nothing(&c->event);
    }
    if (c->event.amount.nanos > hold_amount(c->hold))
        log_error(
            "hold_exceeded",
            "call %s of model %s costs more than its hold: the backend ignored the output cap",
            c->event.request_id, c->model->id);
    settle(c, OUTCOME_COMPLETE);
}

static void fail(struct paid_call *c, const struct backend_result *result)
{
    log_warn("upstream_failed", "call %s of model %s: backend %s: %s", c->event.request_id,
             c->model->id, c->event.backend[0] ? c->event.backend : "none",
             result->err.code ? result->err.text : "refused the call");
    c->has_failed = true;
    failure_from(&c->failure, result);
    cut(c, &result->usage,
        result->outcome == BACKEND_TIMED_OUT ? OUTCOME_TIMEOUT : OUTCOME_UPSTREAM_ERROR);
}

/* What was queued for a client that is still there leaves at the turn's end or a little later, and counts as handed only then. */
static void cut(struct paid_call *c, const struct usage *usage, enum outcome outcome)
{
    if (c->state != CALL_ANSWERING || !c->chat.stream || !c->request) {
        cut_now(c, usage, outcome);
        return;
    }
    c->usage = *usage;
    c->cut_outcome = outcome;
    c->cut_by_ms = clock_monotonic_ms() + CUT_WAIT_MS;
    timer_start(c->deadline, 0);
}

/* A stream cut short owes its input and what was handed to its client; a plain reply, and a call whose answer never began, nothing. */
static void cut_now(struct paid_call *c, const struct usage *usage, enum outcome outcome)
{
    struct err err;

    meter_nothing(&c->event);
    if (c->state == CALL_ANSWERING && c->chat.stream &&
        !meter_cut(&c->event, c->price, usage, (int64_t)c->body.len, handed(c), &err)) {
        log_error("unrated_call", "call %s could not be rated and is not charged: %s",
                  c->event.request_id, err.text);
        meter_nothing(&c->event);
    }
    settle(c, outcome);
}

static int64_t handed(struct paid_call *c)
{
    return meter_handed(&c->marks, c->request ? http_reply_taken(c->request) : 0);
}

static void settle(struct paid_call *c, enum outcome outcome)
{
    struct journal *journal = c->all->server->ledger.journal;

    c->event.outcome = outcome;
    c->event.ended_at = journal_now(journal);
    c->event.period = c->event.orig_period = journal_period(journal);
    timer_stop(c->deadline);
    c->answered = c->state == CALL_ANSWERING;
    c->state = CALL_SETTLING;
    journal_call(journal, &c->event, on_durable, c);
}

static void on_durable(void *arg)
{
    struct paid_call *c = arg;

    hold_settled(c->hold);
    projection_wake(c->all->server->ledger.projection);
    if (c->request) {
        http_request_watch(c->request, NULL, NULL);
        if (c->has_failed)
            finish_failure(c);
        else
            finish_answer(c);
    }
    call_free(c);
}

static void finish_answer(struct paid_call *c)
{
    if (c->chat.stream)
        answer_end_stream(c->request, &c->event, buf_span(&c->held));
    else
        answer_plain(c->request, &c->event, c->content_type, buf_span(&c->held));
}

/* A stream that had begun ends with an error event and without [DONE]; SDKs raise on it. In the middle of an event nothing can
 * be said any more, so the connection breaks. */
static void finish_failure(struct paid_call *c)
{
    AUTO_CLEAR(buf) event = {.max = ERR_TEXT_MAX * 8};

    if (!c->answered || !c->chat.stream) {
        failure_reply(c->request, &c->failure, c->event.request_id);
        return;
    }
    if (c->content && !c->is_between_events) {
        http_reply_break(c->request);
        return;
    }
    failure_event(&c->failure, &event);
    http_reply_write(c->request, buf_span(&event));
    http_reply_end(c->request);
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

        if (c->state != CALL_ANSWERING || !c->chat.stream || !c->request || !c->backend)
            continue;
        if (meter_cut(&c->event, c->price, backend_usage(c->backend), (int64_t)c->body.len,
                      handed(c), NULL) &&
            c->event.amount.nanos != before)
            journal_progress(all->server->ledger.journal, &c->event);
    }
}
