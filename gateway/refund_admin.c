/* refund_admin.c - looked at, decided, journaled. */
#include "gateway/refund_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/call_refunds.h"
#include "gateway/call_search.h"
#include "gateway/operation.h"
#include "gateway/turn.h"
#include "lib/base/mem.h"

#define RECORD_MAX  EVENT_BYTES_MAX
#define REFUNDS_MAX 100 /* of one call */

struct refund_job {
    struct turn *turn;
    char request_id[REQUEST_ID_TEXT];
    bool has_amount;
    struct refund refund;
};

static bool read_body(const json_t *body, struct refund *out, bool *has_amount, struct err *err);
static void start(struct console *c, struct http_request *r, const struct refund_job *wanted);
static void on_turn(void *arg);
static void on_call(void *arg, const struct span *line, const struct err *err);
static bool take_call(struct refund_job *job, struct span line, struct err *err);
static void on_refunds(void *arg, const struct refund_set *refunds, const struct err *err);
static bool decide(struct refund_job *job, const struct refund_set *refunds);
static void answer_booked(struct refund_job *job, const struct refund_entry *booked);
static bool may_book(struct refund_job *job, const struct refund_set *refunds);

void refund_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct refund_job job = {.has_amount = false};
    const char *op;
    AUTO_JSON body = desk_body(server, r, &op);
    struct err err;

    if (!body)
        return;
    if (!request_id_is_valid(span_of(match->value[0]))) {
        reply_problem(r, CALLER_NOT_FOUND,
                      "'%s' is no request id; it stands in the x-request-id header of the answer",
                      match->value[0]);
        return;
    }
    if (!read_body(body, &job.refund, &job.has_amount, &err)) {
        reply_err(r, &err);
        return;
    }
    memcpy(job.refund.op, op, strlen(op) + 1);
    memcpy(job.request_id, match->value[0], strlen(match->value[0]) + 1); /* a valid one fits */
    start(server, r, &job);
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
    return desk_reason(reason, out->reason, sizeof out->reason, err);
}

static void start(struct console *c, struct http_request *r, const struct refund_job *wanted)
{
    static const struct turn_handlers handlers = {on_turn, free};
    struct refund_job *job = xcalloc(1, sizeof *job);

    *job = *wanted;
    turn_new(c, r, &(struct turn_ask){"call", job->request_id, job->refund.op}, &handlers, job,
             &job->turn);
}

static void on_turn(void *arg)
{
    struct refund_job *job = arg;

    call_search(&turn_console(job->turn)->history, job->request_id, on_call, job);
}

static void on_call(void *arg, const struct span *line, const struct err *err)
{
    struct refund_job *job = arg;
    struct err bad;

    if (!err && !line)
        err_set(&bad, ERR_NOT_FOUND, "there is no call %s", job->request_id);
    if (err || !line || !take_call(job, *line, &bad))
        turn_refuse(job->turn, err ? err : &bad);
    else
        call_refunds_read(turn_console(job->turn)->ledger.redis, job->refund.account,
                          job->request_id, on_refunds, job);
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

    if (err)
        turn_refuse(job->turn, err);
    else if (turn_request(job->turn) && decide(job, refunds))
        turn_post_refund(job->turn, &job->refund);
    else
        turn_end(job->turn);
}

/* True when it is to be booked; else it is answered. */
static bool decide(struct refund_job *job, const struct refund_set *refunds)
{
    const struct refund_entry *booked = call_refunds_find(refunds, job->refund.op);
    char amount[DECIMAL_TEXT];

    if (!booked)
        return may_book(job, refunds);
    if (job->has_amount && booked->nanos != job->refund.amount.nanos)
        reply_problem(turn_request(job->turn), CALLER_CONFLICT,
                      "operation %s was booked already, with the amount %s; another refund needs "
                      "another operation id",
                      job->refund.op, decimal_format(booked->nanos, amount));
    else if (!booked->counts)
        reply_problem(turn_request(job->turn), CALLER_CONFLICT,
                      "operation %s was booked, but others left too little of the call for it: it "
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
    AUTO_CLEAR(buf) json = {.max = RECORD_MAX + REPEATED_BYTES};
    struct refund refund;
    struct err err;
    struct jw w;

    if (!refund_parse(record, &refund, &err)) {
        reply_err(turn_request(job->turn), &err);
        return;
    }
    jw_init(&w, &json);
    refund_write(&refund, &w);
    operation_mark_repeated(&json);
    reply_built(turn_request(job->turn), &json);
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
        reply_problem(turn_request(job->turn), CALLER_CONFLICT,
                      "nothing is left to refund of %s: it cost %s %s, and that much was refunded",
                      r->request_id, charged, r->amount.currency);
    else if (r->amount.nanos > left)
        reply_problem(turn_request(job->turn), CALLER_CONFLICT,
                      "%s is more than is left of %s: it cost %s %s, and %s can still be refunded",
                      decimal_format(r->amount.nanos, asked), r->request_id, charged,
                      r->amount.currency, rest);
    else if (refunds->count >= REFUNDS_MAX)
        reply_problem(turn_request(job->turn), CALLER_CONFLICT,
                      "%s was refunded %d times already; refund the rest with the last one",
                      r->request_id, REFUNDS_MAX);
    else
        return true;
    return false;
}
