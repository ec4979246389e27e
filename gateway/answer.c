/* answer.c - the wire form of answers that were paid for. */
#include "gateway/answer.h"

#include <stdio.h>

#include "gateway/rate_headers.h"
#include "lib/base/text.h"

#define RECEIPT_TEXT (REQUEST_ID_TEXT + 32)
#define NOTE_MAX     256
#define OWN_FIELDS   4
#define AGAIN_FIELDS (OWN_FIELDS + 3)

static size_t add_rates(struct http_field fields[OWN_FIELDS + RATE_HEADERS],
                        struct rate_headers *headers, const struct rate_left rates[RATES]);
static const char *receipt_path(const char *request_id, char out[RECEIPT_TEXT]);

void answer_begin_stream(struct http_request *r, const char *content_type, const char *request_id,
                         const struct rate_left rates[RATES])
{
    struct http_field fields[OWN_FIELDS + RATE_HEADERS] = {
        {"content-type", content_type},
        {"cache-control", "no-cache"},
        {"x-accel-buffering", "no"},
        {"x-request-id", request_id},
    };
    struct rate_headers headers;

    http_reply_start(r, 200, fields, add_rates(fields, &headers, rates));
}

/* Behind the answer's own fields; how many there are then. */
static size_t add_rates(struct http_field fields[OWN_FIELDS + RATE_HEADERS],
                        struct rate_headers *headers, const struct rate_left rates[RATES])
{
    rate_headers_fill(headers, rates);
    memcpy(fields + OWN_FIELDS, headers->field, headers->count * sizeof *fields);
    return OWN_FIELDS + headers->count;
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
    struct rate_headers headers;
    struct http_field fields[OWN_FIELDS + RATE_HEADERS] = {
        {"content-type", content_type},
        {"x-request-id", e->request_id},
        {"x-tollgate-cost", decimal_format(e->amount.nanos, cost)},
        {"x-tollgate-receipt", receipt_path(e->request_id, receipt)},
    };

    http_reply(r, 200, fields, add_rates(fields, &headers, rates), body);
}

void answer_again(struct http_request *r, const struct answered *a)
{
    char receipt[RECEIPT_TEXT];
    struct http_field fields[AGAIN_FIELDS] = {
        {"content-type", a->content_type},
        {"x-request-id", a->request_id},
        {"x-tollgate-receipt", receipt_path(a->request_id, receipt)},
        {"x-tollgate-idempotent-replay", "true"},
    };
    size_t n = OWN_FIELDS;

    if (a->cost)
        fields[n++] = (struct http_field){"x-tollgate-cost", a->cost};
    if (a->code) {
        fields[n++] = (struct http_field){"x-tollgate-code", a->code};
        fields[n++] = (struct http_field){"x-should-retry", "false"};
    }
    http_reply(r, a->status, fields, n, a->body);
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
