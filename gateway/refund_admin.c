/* refund_admin.c - looked at, decided, journaled. A refund that could not be decided in time is
 * answered 503 and never written: who asks again does so with the same operation id. */
#include "gateway/refund_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/call_refunds.h"
#include "gateway/call_search.h"
#include "gateway/desk.h"
#include "lib/base/mem.h"

#define RECORD_MAX  EVENT_BYTES_MAX
#define PATIENCE_MS 5000
#define REFUNDS_MAX 100 /* of one call */

/* The first of the console's list is at work, the others wait for it. */
struct refund_job {
    struct refund_job *next;
    struct console *console;
    struct http_request *request; /* null once it was answered, or its client is gone */
    struct timer *patience;
    char request_id[REQUEST_ID_TEXT];
    bool has_amount;
    struct refund refund;
};

static struct refund_job *job_new(struct console *c, struct http_request *r, const char *request_id,
                                  const struct refund *refund, bool has_amount);
static bool read_body(const json_t *body, struct refund *out, bool *has_amount, struct err *err);
static void enqueue(struct refund_job *job);
static void start_first(struct console *c);
static void on_patience(void *arg);
static void on_current(void *arg);
static void on_call(void *arg, const struct span *line, const struct err *err);
static bool take_call(struct refund_job *job, struct span line, struct err *err);
static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err);
static bool decide(struct refund_job *job, const struct refund_set *refunds);
static void answer_booked(struct refund_job *job, const struct refund_entry *booked);
static bool may_book(struct refund_job *job, const struct refund_set *refunds);
static void book(struct refund_job *job);
static void on_written(void *arg);
static void refuse(struct refund_job *job, const struct err *err);
static void job_end(struct refund_job *job);
static void job_free(struct refund_job *job);

void refund_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct refund refund = {.share_bp = 0};
    const char *op;
    AUTO_JSON body = desk_body(c, r, &op);
    bool has_amount;
    struct err err;

    if (!body)
        return;
    if (!request_id_is_valid(span_of(match->value[0]))) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%s' is no request id; it stands in the x-request-id header of the answer",
                      match->value[0]);
        return;
    }
    if (!read_body(body, &refund, &has_amount, &err)) {
        reply_err(r, &err);
        return;
    }
    memcpy(refund.op, op, strlen(op) + 1);
    enqueue(job_new(c, r, match->value[0], &refund, has_amount));
}

static bool read_body(const json_t *body, struct refund *out, bool *has_amount, struct err *err)
{
    static const char *const members[] = {"amount", "reason", "op", NULL};
    const char *reason;

    *has_amount = json_object_get(body, "amount") != NULL;
    if (!json_only_members(body, members, "the refund", err) ||
        !desk_amount(body, "amount", false, &out->amount.nanos, err) ||
        !json_get_string(body, "reason", &reason, "the refund", err))
        return false;
    if (*has_amount && out->amount.nanos <= 0)
        return err_set(err, ERR_INPUT, "'amount' must be above zero");
    return (refund_reason_is_valid(span_of(reason)) &&
            span_copy(span_of(reason), out->reason, sizeof out->reason)) ||
           err_set(err, ERR_INPUT, "'reason' must say why, in 1 to %d printable bytes",
                   REFUND_REASON_MAX);
}

static struct refund_job *job_new(struct console *c, struct http_request *r, const char *request_id,
                                  const struct refund *refund, bool has_amount)
{
    struct refund_job *job = xcalloc(1, sizeof *job);

    job->console = c;
    job->refund = *refund;
    job->has_amount = has_amount;
    memcpy(job->request_id, request_id, strlen(request_id) + 1); /* a valid one fits */
    request_keep(r, &job->request);
    job->patience = timer_new(c->loop, on_patience, job);
    timer_start(job->patience, PATIENCE_MS);
    return job;
}

static void enqueue(struct refund_job *job)
{
    struct refund_job **end = &job->console->refunds;

    while (*end)
        end = &(*end)->next;
    *end = job;
    if (job == job->console->refunds)
        start_first(job->console);
}

static void start_first(struct console *c)
{
    struct refund_job *job;

    for (; (job = c->refunds); job_free(job)) {
        if (job->request && c->ledger.projection) {
            projection_when_current(c->ledger.projection, on_current, job);
            return;
        }
        on_patience(job);
        c->refunds = job->next;
    }
}

/* Its client is told; it stays in the list until what it waits for has come. */
static void on_patience(void *arg)
{
    struct refund_job *job = arg;

    if (job->request)
        reply_problem(job->request, GATEWAY_UNAVAILABLE,
                      "Redis has not answered, so what is left of the call is not known; nothing "
                      "was written, ask again with operation %s",
                      job->refund.op);
    job->request = NULL;
}

static void on_current(void *arg)
{
    struct refund_job *job = arg;

    call_search(&job->console->history, job->request_id, on_call, job);
}

static void on_call(void *arg, const struct span *line, const struct err *err)
{
    struct refund_job *job = arg;
    struct err bad;

    if (!err && !line)
        err_set(&bad, ERR_NOT_FOUND, "there is no call %s", job->request_id);
    if (err || !line || !take_call(job, *line, &bad))
        refuse(job, err ? err : &bad);
    else
        call_refunds_read(job->console->ledger.redis, job->refund.account, job->request_id,
                          on_refunds, job);
}

static bool take_call(struct refund_job *job, struct span line, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);
    struct refund asked = job->refund;
    struct event event;

    if (!record || !event_parse(record, &event, err))
        return false;
    refund_of_event(&event, &job->refund);
    memcpy(job->refund.op, asked.op, sizeof asked.op);
    memcpy(job->refund.reason, asked.reason, sizeof asked.reason);
    job->refund.amount.nanos = asked.amount.nanos;
    return true;
}

static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err)
{
    struct refund_job *job = arg;

    if (err) {
        refuse(job, err);
        return;
    }
    if (job->request && decide(job, refunds))
        book(job);
    else
        job_end(job);
}

/* True when it is to be booked; else it is answered. */
static bool decide(struct refund_job *job, const struct refund_set *refunds)
{
    const struct refund_entry *booked = call_refunds_find(refunds, job->refund.op);
    char amount[DECIMAL_TEXT];

    if (!booked)
        return may_book(job, refunds);
    if (job->has_amount && booked->nanos != job->refund.amount.nanos)
        reply_problem(job->request, CALLER_CONFLICT,
                      "Operation %s was booked already, with the amount %s; another refund needs "
                      "another operation id",
                      job->refund.op, decimal_format(booked->nanos, amount));
    else if (!booked->counts)
        reply_problem(job->request, CALLER_CONFLICT,
                      "Operation %s was booked, but others left too little of the call for it: it "
                      "is in suspense and does not count",
                      job->refund.op);
    else
        answer_booked(job, booked);
    return false;
}

/* As it was written: a repeated operation is answered, not booked again. */
static void answer_booked(struct refund_job *job, const struct refund_entry *booked)
{
    AUTO_JSON record = json_parse(span_of(booked->line), NULL);
    AUTO_CLEAR(buf) json = {.max = RECORD_MAX};
    struct refund refund;
    struct err err;
    struct jw w;

    if (!refund_parse(record, &refund, &err)) {
        reply_err(job->request, &err);
        return;
    }
    jw_init(&w, &json);
    refund_write(&refund, &w);
    reply_built(job->request, &json);
}

/* Fills in what is left, if no amount was asked for. Answers itself when it may not. */
static bool may_book(struct refund_job *job, const struct refund_set *refunds)
{
    struct refund *r = &job->refund;
    int64_t left = r->charged - call_refunds_total(refunds);
    char charged[DECIMAL_TEXT], rest[DECIMAL_TEXT], asked[DECIMAL_TEXT];

    decimal_format(r->charged, charged);
    decimal_format(left, rest);
    if (!job->has_amount)
        r->amount.nanos = left;
    if (left <= 0)
        reply_problem(job->request, CALLER_CONFLICT,
                      "Nothing is left to refund of %s: it cost %s %s, and that much was refunded",
                      r->request_id, charged, r->amount.currency);
    else if (r->amount.nanos > left)
        reply_problem(job->request, CALLER_CONFLICT,
                      "%s is more than is left of %s: it cost %s %s, and %s can still be refunded",
                      decimal_format(r->amount.nanos, asked), r->request_id, charged,
                      r->amount.currency, rest);
    else if (refunds->count >= REFUNDS_MAX)
        reply_problem(job->request, CALLER_CONFLICT,
                      "%s was refunded %d times already; refund the rest with the last one",
                      r->request_id, REFUNDS_MAX);
    else
        return true;
    return false;
}

/* The next one waits until the record is durable, and then until what is durable is applied. */
static void book(struct refund_job *job)
{
    struct desk_batch *batch = desk_batch_new(job->console, job->request);
    AUTO_CLEAR(buf) answer = {.max = RECORD_MAX};
    struct err err;
    struct jw w;

    job->request = NULL; /* the desk answers */
    desk_batch_on_written(batch, on_written, job);
    if (!desk_batch_add_refund(batch, &job->refund, &err)) {
        desk_batch_end(batch, SPAN(""), &err);
        return;
    }
    jw_init(&w, &answer);
    refund_write(&job->refund, &w);
    desk_batch_end(batch, buf_span(&answer), NULL);
}

static void on_written(void *arg)
{
    job_end(arg);
}

static void refuse(struct refund_job *job, const struct err *err)
{
    if (job->request)
        reply_err(job->request, err);
    job_end(job);
}

static void job_end(struct refund_job *job)
{
    struct console *c = job->console;

    job->request = NULL;
    start_first(c);
}

static void job_free(struct refund_job *job)
{
    timer_free(job->patience);
    free(job);
}

void refund_close(struct console *c)
{
    while (c->refunds) {
        struct refund_job *job = c->refunds;

        c->refunds = job->next;
        job_free(job);
    }
}
