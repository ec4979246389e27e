/* answer.c - the wire form of answers that were paid for. */
#include "gateway/answer.h"

#include <assert.h>
#include <stdio.h>

#include "gateway/problem.h"
#include "gateway/rate_headers.h"
#include "lib/base/text.h"

#define RECEIPT_TEXT (REQUEST_ID_TEXT + 32)
#define NOTE_MAX     256
#define FIELDS_MAX   (RATE_HEADERS + 8)

/* A head being put together. */
struct head {
    size_t count;
    struct http_field field[FIELDS_MAX];
    struct rate_headers rates;
};

static void begin_head(struct head *head, const struct http_request *r, const char *request_id);
static void add_field(struct head *head, const char *name, const char *value);
static void add_rates(struct head *head, const struct http_request *r,
                      const struct rate_left rates[RATES]);
static const char *receipt_path(const char *request_id, char out[RECEIPT_TEXT]);

void answer_begin_stream(struct http_request *r, const char *content_type, const char *request_id,
                         const struct rate_left rates[RATES])
{
    struct head head;

    begin_head(&head, r, request_id);
    add_field(&head, "content-type", content_type);
    add_field(&head, "cache-control", "no-cache");
    add_field(&head, "x-accel-buffering", "no");
    add_rates(&head, r, rates);
    http_reply_start(r, 200, head.field, head.count);
}

/* Under both names to who speaks Anthropic's dialect. */
static void begin_head(struct head *head, const struct http_request *r, const char *request_id)
{
    head->count = 0;
    add_field(head, "x-request-id", request_id);
    if (error_shape_of(r) == ERROR_ANTHROPIC)
        add_field(head, "request-id", request_id);
}

static void add_field(struct head *head, const char *name, const char *value)
{
    assert(head->count < FIELDS_MAX);
    head->field[head->count++] = (struct http_field){name, value};
}

static void add_rates(struct head *head, const struct http_request *r,
                      const struct rate_left rates[RATES])
{
    rate_headers_fill(&head->rates, rates, error_shape_of(r) == ERROR_ANTHROPIC);
    for (size_t i = 0; i < head->rates.count; i++)
        add_field(head, head->rates.field[i].name, head->rates.field[i].value);
}

void answer_end_stream(struct http_request *r, const struct event *e, struct span closing)
{
    char cost[DECIMAL_TEXT], receipt[RECEIPT_TEXT];
    AUTO_CLEAR(buf) note = {.max = NOTE_MAX};

    buf_printf(&note, ": x-tollgate-cost: %s\n: x-tollgate-receipt: %s\n\n",
               decimal_format(e->amount.nanos, cost), receipt_path(e->request_id, receipt));
    http_reply_write(r, buf_span(&note));
    http_reply_write(r, closing);
    http_reply_end(r);
}

void answer_plain(struct http_request *r, const struct event *e, const char *content_type,
                  const struct rate_left rates[RATES], struct span body)
{
    char cost[DECIMAL_TEXT], receipt[RECEIPT_TEXT];
    struct head head;

    begin_head(&head, r, e->request_id);
    add_field(&head, "content-type", content_type);
    add_field(&head, "x-tollgate-cost", decimal_format(e->amount.nanos, cost));
    add_field(&head, "x-tollgate-receipt", receipt_path(e->request_id, receipt));
    add_rates(&head, r, rates);
    http_reply(r, 200, head.field, head.count, body);
}

void answer_again(struct http_request *r, const struct answered *a)
{
    char receipt[RECEIPT_TEXT];
    struct head head;

    begin_head(&head, r, a->request_id);
    add_field(&head, "content-type", a->content_type);
    add_field(&head, "x-tollgate-receipt", receipt_path(a->request_id, receipt));
    add_field(&head, "x-tollgate-idempotent-replay", "true");
    if (a->cost)
        add_field(&head, "x-tollgate-cost", a->cost);
    if (a->code) {
        add_field(&head, "x-tollgate-code", a->code);
        add_field(&head, "x-should-retry", "false");
    }
    http_reply(r, a->status, head.field, head.count, a->body);
}

static const char *receipt_path(const char *request_id, char out[RECEIPT_TEXT])
{
    snprintf(out, RECEIPT_TEXT, "/v1/usage/%s/receipt", request_id);
    return out;
}

bool answer_ends_event(struct span bytes)
{
    static const struct span ends[] = {{"\n\n", 2}, {"\r\n\r\n", 4}, {"\r\r", 2}};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (bytes.len >= ends[i].len &&
            memcmp(bytes.data + bytes.len - ends[i].len, ends[i].data, ends[i].len) == 0)
            return true;
    return false;
}

void traceparent_take(struct span header, char out[TRACEPARENT_TEXT])
{
    static const size_t dashes[] = {2, 35, 52};
    unsigned char bytes[16];
    struct span part;

    out[0] = '\0';
    if (header.len != TRACEPARENT_TEXT - 1 || !span_starts(header, SPAN("00-")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(dashes); i++) {
        size_t end = i + 1 < ARRAY_LEN(dashes) ? dashes[i + 1] : header.len;

        part = (struct span){header.data + dashes[i] + 1, end - dashes[i] - 1};
        if (header.data[dashes[i]] != '-' || !hex_decode(part, bytes, part.len / 2))
            return;
    }
    memcpy(out, header.data, header.len);
    out[header.len] = '\0';
}
