/* httpd_request.c - what handlers see and do. Nothing here runs the machine: it notes, writes into the stream's queue, and
 * touches the connection. */
#include <assert.h>

#include "lib/net/httpd.h"
#include "lib/net/httpd_conn.h"

static void write_head(struct http_request *r, unsigned status, const struct http_field *fields,
                       size_t field_count, uint64_t length);
static bool may_keep_alive(const struct http_request *r);
static bool status_has_body(unsigned status);
static void write_payload(struct http_request *r, struct span bytes);
static void write_chunk_size(struct stream *s, size_t n);
static void end(struct http_request *r);

const struct http_head *http_request_head(const struct http_request *r)
{
    return &r->head;
}

struct span http_request_path(const struct http_request *r)
{
    struct span target = r->head.target;
    const char *mark = target.len ? memchr(target.data, '?', target.len) : NULL;

    if (!target.len)
        return SPAN("");
    return mark ? (struct span){target.data, (size_t)(mark - target.data)} : target;
}

struct span http_request_query(const struct http_request *r)
{
    struct span target = r->head.target;
    const char *mark = target.len ? memchr(target.data, '?', target.len) : NULL;

    if (!mark)
        return SPAN("");
    return (struct span){mark + 1, (size_t)(target.data + target.len - mark - 1)};
}

struct span http_request_body(const struct http_request *r)
{
    return buf_span(&r->body);
}

void http_request_take_body(struct http_request *r, struct buf *out)
{
    *out = r->body;
    buf_init(&r->body, 0);
}

bool http_request_peer(const struct http_request *r, struct addr *out)
{
    return stream_peer_addr(r->conn->stream, out);
}

void *http_request_data(const struct http_request *r)
{
    return r->data;
}

void http_request_set_data(struct http_request *r, void *data)
{
    r->data = data;
}

void *http_request_note(const struct http_request *r)
{
    return r->note;
}

void http_request_set_note(struct http_request *r, void *note)
{
    r->note = note;
}

int http_request_mark(const struct http_request *r)
{
    return r->mark;
}

void http_request_set_mark(struct http_request *r, int mark)
{
    r->mark = mark;
}

uint64_t http_request_body_bytes(const struct http_request *r)
{
    return r->body_bytes;
}

void http_request_watch(struct http_request *r, void (*on_gone)(void *data),
                        void (*on_done)(void *data))
{
    r->on_gone = on_gone;
    r->on_done = on_done;
}

void http_request_accept_body(struct http_request *r, size_t max)
{
    size_t limit = r->conn->httpd->limits.body_bytes_max;

    r->is_accepted = true;
    r->body_max = max < limit ? max : limit;
    conn_touch(r->conn);
}

void http_reply(struct http_request *r, unsigned status, const struct http_field *fields,
                size_t field_count, struct span body)
{
    r->reply_body = status_has_body(status) ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    write_head(r, status, fields, field_count, body.len);
    if (!r->is_bodiless)
        write_payload(r, body);
    end(r);
}

static bool status_has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_head(struct http_request *r, unsigned status, const struct http_field *fields,
                       size_t field_count, uint64_t length)
{
    struct conn *c = r->conn;
    struct buf *head = &c->httpd->head;
    struct http1_reply reply = {
        .status = status,
        .fields = fields,
        .field_count = field_count,
        .body = r->reply_body,
        .length = length,
    };

    assert(!r->is_begun && !r->is_over);
    r->is_begun = true;
    r->status = status;
    r->keeps_alive = may_keep_alive(r);
    r->is_bodiless = r->reply_body == HTTP_BODY_NONE || span_equal(r->head.method, SPAN("HEAD"));
    if (!r->keeps_alive)
        reply.connection = "close";
    else if (r->head.minor == 0)
        reply.connection = "keep-alive";
    buf_truncate(head, 0);
    http1_reply_head(head, &reply, &c->httpd->date);
    assert(!head->failed);
    stream_write(c->stream, head->data, head->len);
}

/* The rest of a body that nobody read must be short, and certain to come. */
static bool may_keep_alive(const struct http_request *r)
{
    if (!r->head.keep_alive || r->is_refused || r->conn->httpd->is_retiring ||
        r->reply_body == HTTP_BODY_UNTIL_CLOSE)
        return false;
    if (r->is_body_whole)
        return true;
    if (r->head.body == HTTP_BODY_CHUNKED || r->body_left > HTTPD_DROP_MAX)
        return false;
    return !r->head.expect_continue || r->is_continued;
}

static void write_payload(struct http_request *r, struct span bytes)
{
    struct stream *s = r->conn->stream;

    handover_add(&r->handover, stream_offered(s), bytes.len, stream_taken(s));
    stream_write(s, bytes.data, bytes.len);
    conn_watch_stall(r->conn);
}

static void end(struct http_request *r)
{
    r->is_over = true;
    conn_touch(r->conn);
}

void http_reply_start(struct http_request *r, unsigned status, const struct http_field *fields,
                      size_t field_count)
{
    if (!status_has_body(status))
        r->reply_body = HTTP_BODY_NONE;
    else
        r->reply_body = r->head.minor ? HTTP_BODY_CHUNKED : HTTP_BODY_UNTIL_CLOSE;
    write_head(r, status, fields, field_count, 0);
}

void http_reply_write(struct http_request *r, struct span bytes)
{
    struct stream *s = r->conn->stream;
    bool is_chunked = r->reply_body == HTTP_BODY_CHUNKED;

    assert(r->is_begun && !r->is_over);
    if (bytes.len == 0 || r->is_bodiless)
        return;
    if (is_chunked)
        write_chunk_size(s, bytes.len);
    write_payload(r, bytes);
    if (is_chunked)
        stream_write(s, "\r\n", 2);
}

static void write_chunk_size(struct stream *s, size_t n)
{
    char line[2 * sizeof n + 2];
    size_t at = sizeof line;

    line[--at] = '\n';
    line[--at] = '\r';
    do {
        line[--at] = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n);
    stream_write(s, line + at, sizeof line - at);
}

void http_reply_end(struct http_request *r)
{
    assert(r->is_begun && !r->is_over);
    if (r->reply_body == HTTP_BODY_CHUNKED && !r->is_bodiless)
        stream_write(r->conn->stream, "0\r\n\r\n", 5);
    end(r);
}

void http_reply_break(struct http_request *r)
{
    assert(!r->is_over);
    r->is_broken = true;
    end(r);
}

unsigned http_reply_status(const struct http_request *r)
{
    return r->status;
}

bool http_reply_is_whole(const struct http_request *r)
{
    return r->is_over && !r->is_broken;
}

uint64_t http_reply_offered(const struct http_request *r)
{
    return r->handover.offered;
}

uint64_t http_reply_taken(const struct http_request *r)
{
    return handover_taken(&r->handover, stream_taken(r->conn->stream));
}

bool http_reply_is_full(const struct http_request *r)
{
    return stream_is_full(r->conn->stream);
}

void http_reply_on_drained(struct http_request *r, void (*on_drained)(void *data))
{
    r->on_drained = on_drained;
    if (!http_reply_is_full(r))
        conn_touch(r->conn);
}
