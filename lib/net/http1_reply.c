/* http1_reply.c - written without printf: this runs once per call. */
#include "lib/net/http1_reply.h"

#include <time.h>

#include "lib/base/clock.h"
#include "lib/net/http_chars.h"

static void add_status(struct buf *out, unsigned status);
static void add_date(struct buf *out, struct http1_date *date);
static void add_field(struct buf *out, const struct http_field *field);
static void add_framing(struct buf *out, const struct http1_reply *reply);
static void add_decimal(struct buf *out, uint64_t n);

void http1_reply_head(struct buf *out, const struct http1_reply *reply, struct http1_date *date)
{
    add_status(out, reply->status);
    add_date(out, date);
    for (size_t i = 0; i < reply->field_count; i++)
        add_field(out, &reply->fields[i]);
    add_framing(out, reply);
    if (reply->connection)
        add_field(out, &(struct http_field){"connection", reply->connection});
    buf_add_span(out, SPAN("\r\n"));
}

static void add_status(struct buf *out, unsigned status)
{
    buf_add_span(out, SPAN("HTTP/1.1 "));
    add_decimal(out, status);
    buf_add_char(out, ' ');
    buf_add_string(out, http_reason(status));
    buf_add_span(out, SPAN("\r\n"));
}

static void add_date(struct buf *out, struct http1_date *date)
{
    int64_t second = clock_now() / NANOS_PER_SECOND;
    time_t t = (time_t)second;
    struct tm tm;

    if (second != date->second) {
        gmtime_r(&t, &tm);
        strftime(date->line, sizeof date->line, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        date->second = second;
    }
    buf_add_string(out, date->line);
}

static void add_field(struct buf *out, const struct http_field *field)
{
    size_t value;

    buf_add_string(out, field->name);
    buf_add_span(out, SPAN(": "));
    value = out->len;
    if (!buf_add_string(out, field->value))
        return;
    for (size_t i = value; i < out->len; i++)
        if (!http_char_is(out->data[i], HTTP_VALUE))
            out->data[i] = ' ';
    buf_add_span(out, SPAN("\r\n"));
}

static void add_framing(struct buf *out, const struct http1_reply *reply)
{
    if (reply->body == HTTP_BODY_CHUNKED) {
        buf_add_span(out, SPAN("transfer-encoding: chunked\r\n"));
    } else if (reply->body == HTTP_BODY_LENGTH) {
        buf_add_span(out, SPAN("content-length: "));
        add_decimal(out, reply->length);
        buf_add_span(out, SPAN("\r\n"));
    }
}

static void add_decimal(struct buf *out, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    buf_add(out, digits + at, sizeof digits - at);
}
