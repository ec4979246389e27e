/* repetition.c - the stored answer, or else the receipt. Both carry the request id of the call that was answered, since a
 * repetition leaves no event of its own. */
#include "gateway/repetition.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/receipt.h"
#include "gateway/answer.h"
#include "gateway/history.h"
#include "gateway/problem.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define OBJECT_MAX  (RECEIPT_BYTES_MAX + 4096)
#define MESSAGE_MAX 512

/* One answer on its way; `request` is null once the client is gone. */
struct repetition {
    struct server *server;
    struct http_request *request;
    char account[ID_TEXT], request_id[REQUEST_ID_TEXT];
    bool stream;
    struct idempotent by;
};

static void on_gone(void *data);
static void on_stored(void *arg, const struct span *stored, const struct err *err);
static bool reply_stored(struct repetition *p, struct span stored);
static void find_record(struct repetition *p);
static void on_record(void *arg, const struct span *line, const struct err *err);
static void reply_receipt(struct repetition *p, const struct span *line);
static void write_object(const struct repetition *p, const struct event *e, const char *receipt,
                         struct buf *out);
static void describe(const struct repetition *p, const struct event *e, struct buf *out);
static void fail(struct repetition *p, const struct err *err);
static void repetition_free(struct repetition *p);

void repetition_answer(struct server *server, struct http_request *r, const struct repeated *what)
{
    struct repetition *p = xcalloc(1, sizeof *p);
    bool fits = span_copy(span_of(what->account), p->account, sizeof p->account) &&
                span_copy(span_of(what->request_id), p->request_id, sizeof p->request_id);

    assert(fits);
    (void)fits;
    p->server = server;
    p->request = r;
    p->stream = what->stream;
    p->by = *what->by;
    http_request_set_data(r, p);
    http_request_watch(r, on_gone, NULL);
    if (p->stream)
        find_record(p);
    else
        claims_stored(admission_claims(server->admission), p->account, p->request_id, on_stored, p);
}

static void on_gone(void *data)
{
    struct repetition *p = data;

    p->request = NULL;
}

static void on_stored(void *arg, const struct span *stored, const struct err *err)
{
    struct repetition *p = arg;

    if (!p->request) {
        repetition_free(p);
    } else if (err) {
        fail(p, err);
    } else if (stored && reply_stored(p, *stored)) {
        repetition_free(p);
    } else {
        find_record(p);
    }
}

static bool reply_stored(struct repetition *p, struct span stored)
{
    AUTO_CLEAR(buf) plain = {.max = stored.len};
    const struct stored_call call = {&p->by, p->account, p->request_id};
    struct stored_answer answer;
    struct err err;

    if (!stored_answer_open(stored, &call, &plain, &answer, &err)) {
        log_warn("stored_answer", "the stored answer of %s can't be opened: %s", p->request_id,
                 err.text);
        return false;
    }
    http_request_watch(p->request, NULL, NULL);
    answer_again(p->request, &(struct answered){.request_id = p->request_id,
                                                .status = 200,
                                                .content_type = answer.content_type,
                                                .cost = answer.cost,
                                                .body = answer.body});
    return true;
}

static void find_record(struct repetition *p)
{
    history_find(&p->server->history, p->account, p->request_id, true, on_record, p);
}

static void on_record(void *arg, const struct span *line, const struct err *err)
{
    struct repetition *p = arg;

    if (!p->request) {
        repetition_free(p);
    } else if (err) {
        fail(p, err);
    } else {
        reply_receipt(p, line);
        repetition_free(p);
    }
}

/* A record that nobody has at hand comes back with its host: then the path to its receipt has to do. */
static void reply_receipt(struct repetition *p, const struct span *line)
{
    AUTO_CLEAR(buf) receipt = {.max = RECEIPT_BYTES_MAX};
    AUTO_CLEAR(buf) body = {.max = OBJECT_MAX};
    AUTO_JSON record = line ? json_parse(*line, NULL) : NULL;
    char cost[DECIMAL_TEXT];
    struct event e;
    bool is_known = record && event_parse(record, &e, NULL) &&
                    receipt_sign(*line, p->server->installation->signing_key, &receipt, NULL);

    if (p->stream)
        buf_add_string(&body, error_shape_of(p->request) == ERROR_ANTHROPIC ? "event: error\ndata: "
                                                                            : "data: ");
    write_object(p, is_known ? &e : NULL, receipt.data, &body);
    if (p->stream)
        buf_add_string(&body, "\n\n");
    http_request_watch(p->request, NULL, NULL);
    answer_again(
        p->request,
        &(struct answered){.request_id = p->request_id,
                           .status = p->stream ? 200 : problem_row(CALLER_ANSWERED)->status,
                           .code = problem_row(CALLER_ANSWERED)->name,
                           .content_type = p->stream ? "text/event-stream" : "application/json",
                           .cost = is_known ? decimal_format(e.amount.nanos, cost) : NULL,
                           .body = buf_span(&body)});
}

/* An error object, on which SDKs raise, with two members more in its inner one: request_id and, when it could be had, receipt. */
static void write_object(const struct repetition *p, const struct event *e, const char *receipt,
                         struct buf *out)
{
    const struct problem_row *row = problem_row(CALLER_ANSWERED);
    bool is_anthropic = error_shape_of(p->request) == ERROR_ANTHROPIC;
    AUTO_CLEAR(buf) message = {.max = MESSAGE_MAX};
    struct jw w;

    describe(p, e, &message);
    jw_init(&w, out);
    jw_object(&w);
    if (is_anthropic)
        jw_string_member(&w, "type", "error");
    jw_key(&w, "error");
    jw_object(&w);
    jw_string_member(&w, "message", message.data);
    jw_string_member(&w, "type", row->type);
    if (!is_anthropic) {
        jw_key(&w, "param");
        jw_null(&w);
    }
    jw_string_member(&w, "code", row->code);
    jw_string_member(&w, "request_id", p->request_id);
    if (e)
        jw_string_member(&w, "receipt", receipt);
    jw_object_end(&w);
    jw_object_end(&w);
}

static void describe(const struct repetition *p, const struct event *e, struct buf *out)
{
    char cost[DECIMAL_TEXT];

    buf_printf(out, "A call with this Idempotency-Key was answered before, as %s", p->request_id);
    if (e)
        buf_printf(out, " for %s %s", decimal_format(e->amount.nanos, cost), e->amount.currency);
    buf_printf(out,
               "; it is not run and not charged again. %s; its receipt is at "
               "/v1/usage/%s/receipt. To ask anew, send another key",
               p->stream ? "A streamed answer is not kept" : "Its answer is not kept",
               p->request_id);
}

static void fail(struct repetition *p, const struct err *err)
{
    log_warn("repetition_failed", "%s could not be answered again: %s", p->request_id, err->text);
    http_request_watch(p->request, NULL, NULL);
    problem_reply(p->request, GATEWAY_UNAVAILABLE,
                  &(struct problem_details){.request_id = p->request_id, .retry_after_ms = 1000},
                  "%s", problem_row(GATEWAY_UNAVAILABLE)->message);
    repetition_free(p);
}

static void repetition_free(struct repetition *p)
{
    explicit_bzero(p->by.sealing_key, sizeof p->by.sealing_key);
    free(p);
}
