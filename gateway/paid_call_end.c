/* paid_call_end.c - the end of a paid call: what it owes, its END, and then what was held back. */
#include "gateway/paid_call_end.h"

#include <inttypes.h>

#include "lib/base/log.h"

#define CUT_WAIT_MS      5000
#define CONFIRM_WAIT_MS  30000
#define CONFIRM_POLL_MS  20
#define CONFIRM_RETRY_MS 1000

static void bill_whole(struct paid_call *c);
static void own_usage(const struct paid_call *c, struct usage *out);
static void alarm_unrated(struct paid_call *c, bool is_rated, const struct err *why);
static void alarm_if_disbelieved(const struct paid_call *c, const struct usage *usage);
static void settle(struct paid_call *c, enum outcome outcome);
static void alarm_if_above_hold(const struct paid_call *c);
static void on_durable(void *arg);
static void end_claim(struct paid_call *c);
static void seal_answer(const struct paid_call *c, struct buf *out);
static void on_claim_ended(void *arg, enum claim_state state);
static void finish(struct paid_call *c);
static void finish_answer(struct paid_call *c);
static void finish_failure(struct paid_call *c);

void call_complete(struct paid_call *c, const struct usage *usage)
{
    c->usage = *usage;
    if (!c->idempotent) {
        bill_whole(c);
        return;
    }
    c->is_confirming = true;
    c->confirm_by_ms = clock_monotonic_ms() + CONFIRM_WAIT_MS;
    call_confirm(c);
}

/* Most often Redis has said so lately. Else it is asked, and waited for: two whole answers under one key would both be billed. */
void call_confirm(struct paid_call *c)
{
    bool is_lost = hold_claim_is_lost(c->hold);

    if (!is_lost && !hold_claim_is_sure(c->hold) && clock_monotonic_ms() < c->confirm_by_ms) {
        hold_claim_ask(c->hold);
        timer_start(c->deadline, CONFIRM_POLL_MS);
        return;
    }
    c->is_confirming = false;
    if (!is_lost && hold_claim_is_sure(c->hold)) {
        bill_whole(c);
        return;
    }
    c->has_failed = true;
    failure_of_stop(&c->failure, is_lost ? CALLER_KEY_IN_USE : GATEWAY_UNAVAILABLE);
    c->failure.retry_after_ms = CONFIRM_RETRY_MS;
    call_cut(c, &c->usage, OUTCOME_KILLED);
}

static void bill_whole(struct paid_call *c)
{
    struct usage own;
    struct err err;

    alarm_if_disbelieved(c, &c->usage);
    if (!meter_whole(&c->event, c->price, &c->usage, &err)) {
        own_usage(c, &own);
        alarm_unrated(c, meter_whole(&c->event, c->price, &own, &(struct err){0}), &err);
    }
    settle(c, OUTCOME_COMPLETE);
}

/* What the gateway itself knows of a whole answer, within what the call was admitted for. */
static void own_usage(const struct paid_call *c, struct usage *out)
{
    int64_t most = call_output_cap(c) * c->wants.n, guess = (int64_t)c->held.len / 4;

    *out = (struct usage){0};
    usage_set(out, USAGE_INPUT, (int64_t)c->body.len / 4, USAGE_ESTIMATED);
    if (c->wants.stream)
        usage_set(out, USAGE_OUTPUT, c->came, USAGE_COUNTED);
    else if (most > 0)
        usage_set(out, USAGE_OUTPUT, guess < most ? guess : most, USAGE_ESTIMATED);
}

/* A server's numbers of which no amount can be made are let go; what is left is what the gateway saw. */
static void alarm_unrated(struct paid_call *c, bool is_rated, const struct err *why)
{
    log_error("unrated_call",
              "call %s of model %s: no amount can be made of what backend %s states (%s): it is %s",
              c->event.request_id, c->model->id, c->event.backend, why->text,
              is_rated ? "charged by what the gateway counted and estimated" : "not charged");
    if (!is_rated)
        meter_nothing(&c->event);
}

static void alarm_if_disbelieved(const struct paid_call *c, const struct usage *usage)
{
    if (usage->disbelieved)
        log_error("usage_disbelieved",
                  "call %s of model %s: backend %s states %" PRId64
                  " tokens, which no call can use: what the gateway counted or estimated stands "
                  "for them",
                  c->event.request_id, c->model->id, c->event.backend, usage->disbelieved);
}

void call_fail(struct paid_call *c, const struct backend_result *result)
{
    log_warn("upstream_failed", "call %s of model %s: backend %s: %s", c->event.request_id,
             c->model->id, c->event.backend[0] ? c->event.backend : "none",
             result->err.code ? result->err.text : "refused the call");
    c->has_failed = true;
    failure_from(&c->failure, result);
    call_cut(c, &result->usage,
             result->outcome == BACKEND_TIMED_OUT ? OUTCOME_TIMEOUT : OUTCOME_UPSTREAM_ERROR);
}

void call_cut(struct paid_call *c, const struct usage *usage, enum outcome outcome)
{
    if (c->state != CALL_ANSWERING || !c->wants.stream || !c->request) {
        call_cut_now(c, usage, outcome);
        return;
    }
    c->usage = *usage;
    c->cut_outcome = outcome;
    c->cut_by_ms = clock_monotonic_ms() + CUT_WAIT_MS;
    timer_start(c->deadline, 0);
}

/* A slow client is given some time for what was queued before the stream was cut, since it will read it and owes it. */
bool call_is_still_taking(const struct paid_call *c)
{
    return c->request && http_reply_taken(c->request) < http_reply_offered(c->request) &&
           clock_monotonic_ms() < c->cut_by_ms;
}

/* A stream cut short owes its input and what was handed to its client; a plain reply, and a call whose answer never began, nothing. */
void call_cut_now(struct paid_call *c, const struct usage *usage, enum outcome outcome)
{
    const struct usage unstated = {0};
    int64_t body_bytes = (int64_t)c->body.len, handed = call_handed(c);
    struct err err;

    alarm_if_disbelieved(c, usage);
    meter_nothing(&c->event);
    if (c->state == CALL_ANSWERING && c->wants.stream &&
        !meter_cut(&c->event, c->price, usage, body_bytes, handed, &err))
        alarm_unrated(
            c, meter_cut(&c->event, c->price, &unstated, body_bytes, handed, &(struct err){0}),
            &err);
    settle(c, outcome);
}

int64_t call_handed(struct paid_call *c)
{
    return meter_handed(&c->marks, c->request ? http_reply_taken(c->request) : 0);
}

static void settle(struct paid_call *c, enum outcome outcome)
{
    struct journal *journal = c->all->server->ledger.journal;

    alarm_if_above_hold(c);
    c->event.outcome = outcome;
    c->event.ended_at = journal_now(journal);
    c->event.period = c->event.orig_period = journal_period(journal);
    timer_stop(c->deadline);
    c->answered = c->state == CALL_ANSWERING;
    c->state = CALL_SETTLING;
    journal_call(journal, &c->event, on_durable, c);
}

/* It is charged in full all the same; the account's limits are passed by the difference. */
static void alarm_if_above_hold(const struct paid_call *c)
{
    char cost[DECIMAL_TEXT], held[DECIMAL_TEXT];

    if (c->event.amount.nanos <= hold_amount(c->hold))
        return;
    log_error("hold_exceeded",
              "call %s of model %s costs %s %s and could cost %s at most: backend %s states more "
              "than was asked of it",
              c->event.request_id, c->model->id, decimal_format(c->event.amount.nanos, cost),
              c->event.amount.currency, decimal_format(hold_amount(c->hold), held),
              c->event.backend);
}

static void on_durable(void *arg)
{
    struct paid_call *c = arg;

    hold_settled(c->hold, c->event.amount.nanos);
    projection_wake(c->all->server->ledger.projection);
    if (c->idempotent)
        end_claim(c);
    else
        finish(c);
}

/* Ahead of the last bytes, so that who has seen them can repeat the call at once. Should Redis not take it, the END will say
 * the same when it is applied; only the answer is then not stored. */
static void end_claim(struct paid_call *c)
{
    struct server *server = c->all->server;
    bool is_answered = c->event.outcome == OUTCOME_COMPLETE;
    AUTO_CLEAR(buf) sealed = {.max = STORED_HEAD_MAX + c->held.len};
    struct claim claim;

    claim_of(&c->event, &claim);
    if (is_answered && !c->wants.stream && c->held.len <= (size_t)server->options->stored_answer)
        seal_answer(c, &sealed);
    claims_end(admission_claims(server->admission), &claim, is_answered,
               sealed.len ? buf_span(&sealed) : SPAN(""), on_claim_ended, c);
}

static void seal_answer(const struct paid_call *c, struct buf *out)
{
    const struct stored_call call = {&c->idempotent->by[0], c->event.account, c->event.request_id};
    struct stored_answer answer = {.body = buf_span(&c->held)};

    decimal_format(c->event.amount.nanos, answer.cost);
    memcpy(answer.content_type, c->content_type, sizeof answer.content_type);
    if (!stored_answer_seal(&answer, &call, out)) {
        log_warn("stored_answer", "the answer of %s is not stored: no memory", c->event.request_id);
        buf_truncate(out, 0);
    }
}

static void on_claim_ended(void *arg, enum claim_state state)
{
    struct paid_call *c = arg;

    if (state != CLAIM_STANDS)
        log_warn("claim_not_ended", "Redis did not take the end of call %s; its END will do it",
                 c->event.request_id);
    finish(c);
}

static void finish(struct paid_call *c)
{
    if (c->request) {
        http_request_watch(c->request, NULL, NULL);
        if (c->has_failed)
            finish_failure(c);
        else
            finish_answer(c);
    }
    paid_call_free(c);
}

static void finish_answer(struct paid_call *c)
{
    if (c->wants.stream)
        answer_end_stream(c->request, &c->event, buf_span(&c->held));
    else
        answer_plain(c->request, &c->event, c->content_type, c->rates, buf_span(&c->held));
}

/* A stream that had begun ends with an error event and without [DONE]; SDKs raise on it. In the middle of an event nothing can
 * be said any more, so the connection breaks. */
static void finish_failure(struct paid_call *c)
{
    AUTO_CLEAR(buf) event = {.max = ERR_TEXT_MAX * 8};

    if (!c->answered || !c->wants.stream) {
        failure_reply(c->request, &c->failure, c->event.request_id);
        return;
    }
    if (c->content && !c->is_between_events) {
        http_reply_break(c->request);
        return;
    }
    failure_event(c->request, &c->failure, c->event.request_id, &event);
    http_reply_write(c->request, buf_span(&event));
    http_reply_end(c->request);
}
