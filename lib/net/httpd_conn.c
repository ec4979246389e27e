/* httpd_conn.c - the machine of one connection: one row per state, one loop, one place to die. Bytes from the client, the
 * handler's decisions and the end of the client's patience only run it. */
#include "lib/net/httpd_conn.h"

#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define BODY_GRACE_MS    10000
#define BODY_RESERVE_MAX (256 * 1024)

static const struct stream_limits stream_limits = {
    .queue_max = 64 << 20,
    .high = 256 << 10,
    .low = 64 << 10,
};

enum step { GO, WAIT, DIE };

static enum step read_head(struct conn *c);
static enum step parse_head(struct conn *c);
static enum step ask_handler(struct conn *c);
static enum step read_body(struct conn *c);
static enum step read_length(struct conn *c);
static enum step read_chunks(struct conn *c);
static enum step add_to_body(struct conn *c, struct span bytes);
static enum step body_is_whole(struct conn *c);
static enum step await_body(struct conn *c);
static enum step refuse(struct conn *c, unsigned status, const struct err *err);
static enum step await_reply(struct conn *c);
static enum step end_request(struct conn *c);
static enum step drop_body(struct conn *c);
static enum step close_connection(struct conn *c);
static struct http_request *request_new(struct conn *c);
static bool keep_text(struct http_request *r, struct span bytes);
static void request_end(struct http_request *r);
static void consume(struct conn *c, size_t n);
static bool keep_rest(struct conn *c);
static void run(struct conn *c);
static void run_kept(void *arg);
static void on_open(void *arg);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_eof(void *arg);
static void on_drained(void *arg);
static void on_failed(void *arg, const struct err *err);
static void on_finished(void *arg);
static void tell_drained(struct conn *c);
static void arm(struct conn *c, enum conn_deadline which, int64_t ms, const char *sentence);
static void disarm(struct conn *c);
static int64_t queued_ms(const struct conn *c);

/* Before any request is known, so in no surface's shape. */
static const char to_plain_http[] = "HTTP/1.1 400 Bad Request\r\n"
                                    "Content-Type: text/plain\r\n"
                                    "Content-Length: 58\r\n"
                                    "Connection: close\r\n\r\n"
                                    "This port speaks HTTPS: begin the base URL with https://.\n";

static enum step (*const steps[CONN_NSTATES])(struct conn *) = {
    [CONN_HEAD] = read_head,         /* -> ASK, REPLY when refused, CLOSE */
    [CONN_ASK] = ask_handler,        /* -> BODY, or REPLY when refused or answered without it */
    [CONN_BODY] = read_body,         /* -> REPLY */
    [CONN_REPLY] = await_reply,      /* -> END */
    [CONN_END] = end_request,        /* -> DROP, CLOSE */
    [CONN_DROP] = drop_body,         /* -> HEAD */
    [CONN_CLOSE] = close_connection, /* -> dies */
};

void conn_new(struct httpd *h, int fd)
{
    static const struct stream_handlers handlers = {
        .on_open = on_open,
        .on_bytes = on_bytes,
        .on_eof = on_eof,
        .on_drained = on_drained,
        .on_failed = on_failed,
    };
    struct conn *c = xcalloc(1, sizeof *c);

    c->httpd = h;
    c->resume = (struct turn_end){.run = run_kept, .arg = c};
    buf_init(&c->in, h->limits.head.head_bytes_max + LOOP_SCRATCH);
    c->link = &h->conns;
    c->next = h->conns;
    if (c->next)
        c->next->link = &c->next;
    h->conns = c;
    h->conn_count++;
    c->stream =
        stream_accepted(h->loop, fd, h->tls, &(struct stream_owner){&stream_limits, &handlers, c});
    if (h->tls)
        arm(c, CONN_DEADLINE_HEAD, h->limits.handshake_ms,
            "the client did not complete the TLS handshake in time");
}

static void on_open(void *arg)
{
    struct conn *c = arg;

    disarm(c);
    run_kept(c);
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct conn *c = arg;

    c->is_input_kept = c->in.len > 0;
    if (c->is_input_kept && !buf_add(&c->in, bytes, n)) {
        conn_die(c);
        return;
    }
    c->input = c->is_input_kept ? buf_span(&c->in) : (struct span){bytes, n};
    run(c);
}

static void run_kept(void *arg)
{
    struct conn *c = arg;

    c->is_input_kept = true;
    c->input = buf_span(&c->in);
    tell_drained(c);
    run(c);
}

static void run(struct conn *c)
{
    enum step step;

    c->is_running = true;
    do
        step = steps[c->state](c);
    while (step == GO);
    c->is_running = false;
    if (step == DIE || !keep_rest(c))
        conn_die(c);
}

/* What can't be used yet waits here; the client is not read further while that is more than a head. */
static bool keep_rest(struct conn *c)
{
    bool is_full;

    if (c->is_input_kept)
        buf_consume(&c->in, c->in.len - c->input.len);
    else if (!buf_add_span(&c->in, c->input))
        return false;
    c->input = SPAN("");
    if (c->in.len == 0)
        buf_clear(&c->in);
    is_full = c->in.len > c->httpd->limits.head.head_bytes_max;
    if (is_full && !c->is_paused)
        stream_pause(c->stream);
    else if (!is_full && c->is_paused)
        stream_resume(c->stream);
    c->is_paused = is_full;
    return true;
}

static enum step read_head(struct conn *c)
{
    const struct httpd_limits *limits = &c->httpd->limits;

    if (c->input.len == 0 && c->httpd->is_draining) {
        c->end = CONN_END_FINISH;
        return DIE;
    }
    if (c->input.len == 0) {
        if (c->deadline != CONN_DEADLINE_IDLE)
            arm(c, CONN_DEADLINE_IDLE, limits->idle_ms + queued_ms(c),
                "the client sent no request for too long");
        return WAIT;
    }
    if (stream_is_full(c->stream)) {
        conn_watch_stall(c);
        return WAIT;
    }
    if (!c->request)
        c->request = request_new(c);
    return parse_head(c);
}

static struct http_request *request_new(struct conn *c)
{
    struct http_request *r = xcalloc(1, sizeof *r);

    r->conn = c;
    buf_init(&r->text, c->httpd->limits.head.head_bytes_max);
    http1_chunks_init(&r->chunks);
    return r;
}

/* An unfinished head is looked at again only when a line's end came, so that bytes sent one by one cost no more. */
static enum step parse_head(struct conn *c)
{
    const struct http_limits *limits = &c->httpd->limits.head;
    struct http_request *r = c->request;
    size_t fresh = c->input.len - c->searched;
    int64_t n = 0;
    struct err err;
    unsigned status;

    if (!c->searched || c->input.len > limits->head_bytes_max ||
        memchr(c->input.data + c->searched, '\n', fresh))
        n = http1_request(c->input, limits, &r->head, &status, &err);
    c->searched = n == 0 ? c->input.len : 0;
    if (n == 0) {
        if (c->deadline != CONN_DEADLINE_HEAD)
            arm(c, CONN_DEADLINE_HEAD, c->httpd->limits.head_ms,
                "the client did not send its request's head in time");
        return WAIT;
    }
    disarm(c);
    if (!keep_text(r, (struct span){c->input.data, n > 0 ? (size_t)n : c->input.len}))
        return DIE;
    if (n < 0)
        return refuse(c, status, &err);
    consume(c, (size_t)n);
    r->body_left = r->head.length;
    r->is_body_whole =
        r->head.body == HTTP_BODY_NONE || (r->head.body == HTTP_BODY_LENGTH && r->head.length == 0);
    c->state = CONN_ASK;
    c->httpd->handler.on_head(c->httpd->arg, r);
    return GO;
}

/* The head's spans must outlive the input. No span of a refused head lies beyond the limit. */
static bool keep_text(struct http_request *r, struct span bytes)
{
    size_t n = bytes.len < r->text.max ? bytes.len : r->text.max;

    if (!buf_add(&r->text, bytes.data, n))
        return false;
    http_head_rebase(&r->head, bytes.data, r->text.data);
    return true;
}

static void consume(struct conn *c, size_t n)
{
    c->input.data += n;
    c->input.len -= n;
}

static enum step refuse(struct conn *c, unsigned status, const struct err *err)
{
    disarm(c);
    c->request->is_refused = true;
    c->state = CONN_REPLY;
    c->httpd->handler.on_refused(c->httpd->arg, c->request, status, err);
    return GO;
}

static enum step ask_handler(struct conn *c)
{
    struct http_request *r = c->request;
    struct err err;
    size_t room;

    if (r->is_begun || r->is_over) {
        c->state = CONN_REPLY;
        return GO;
    }
    if (!r->is_accepted)
        return WAIT;
    if (r->body_left > r->body_max) {
        err_set(&err, ERR_LIMIT, "the request's body has %" PRIu64 " bytes; at most %zu are taken",
                r->body_left, r->body_max);
        return refuse(c, 413, &err);
    }
    if (r->head.expect_continue && !r->is_body_whole && c->input.len == 0) {
        stream_write(c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        r->is_continued = true;
    }
    buf_init(&r->body, r->body_max);
    room = r->body_left < BODY_RESERVE_MAX ? (size_t)r->body_left : BODY_RESERVE_MAX;
    if (room && !buf_room(&r->body, room))
        return DIE;
    r->body_start_nanos = clock_monotonic();
    c->state = CONN_BODY;
    return GO;
}

static enum step read_body(struct conn *c)
{
    struct http_request *r = c->request;

    if (r->is_begun || r->is_over) {
        disarm(c);
        c->state = CONN_REPLY;
        return GO;
    }
    if (r->is_body_whole)
        return body_is_whole(c);
    return r->head.body == HTTP_BODY_CHUNKED ? read_chunks(c) : read_length(c);
}

static enum step read_length(struct conn *c)
{
    struct http_request *r = c->request;
    size_t n = c->input.len < r->body_left ? c->input.len : (size_t)r->body_left;
    enum step step = add_to_body(c, (struct span){c->input.data, n});

    if (step != WAIT)
        return step;
    consume(c, n);
    r->body_left -= n;
    return r->body_left ? await_body(c) : body_is_whole(c);
}

/* WAIT: it was added. */
static enum step add_to_body(struct conn *c, struct span bytes)
{
    struct http_request *r = c->request;
    struct err err;

    if (bytes.len > r->body_max - r->body.len) {
        err_set(&err, ERR_LIMIT, "the request's body is larger than the %zu bytes that are taken",
                r->body_max);
        return refuse(c, 413, &err);
    }
    r->body_bytes += bytes.len;
    if (!buf_add_span(&r->body, bytes) && !buf_ok(&r->body, "the request's body", &err))
        return refuse(c, 503, &err);
    return WAIT;
}

static enum step read_chunks(struct conn *c)
{
    struct http_request *r = c->request;
    enum http1_chunk got;
    struct span payload;
    struct err err;

    while ((got = http1_chunks_next(&r->chunks, &c->input, &payload, &err)) ==
           HTTP1_CHUNK_PAYLOAD) {
        enum step step = add_to_body(c, payload);

        if (step != WAIT)
            return step;
    }
    if (got == HTTP1_CHUNK_BAD)
        return refuse(c, 400, &err);
    return got == HTTP1_CHUNK_DONE ? body_is_whole(c) : await_body(c);
}

static enum step body_is_whole(struct conn *c)
{
    disarm(c);
    c->request->is_body_whole = true;
    c->state = CONN_REPLY;
    c->httpd->handler.on_body(c->httpd->arg, c->request);
    return GO;
}

/* Every byte that came in time pays for the next. */
static enum step await_body(struct conn *c)
{
    const struct http_request *r = c->request;
    int64_t earned_ms = (int64_t)(r->body.len * 1000) / c->httpd->limits.body_rate_min;
    int64_t spent_ms = (clock_monotonic() - r->body_start_nanos) / NANOS_PER_MS;
    int64_t left_ms = BODY_GRACE_MS + earned_ms - spent_ms;

    arm(c, CONN_DEADLINE_BODY, left_ms > 1 ? left_ms : 1,
        "the client sent its request's body too slowly");
    return WAIT;
}

static enum step await_reply(struct conn *c)
{
    if (!c->request->is_over)
        return WAIT;
    c->state = CONN_END;
    return GO;
}

static enum step end_request(struct conn *c)
{
    struct http_request *r = c->request;

    disarm(c);
    c->drop_left = r->is_body_whole ? 0 : r->body_left;
    c->end =
        r->is_broken && r->reply_body == HTTP_BODY_UNTIL_CLOSE ? CONN_END_RESET : CONN_END_FINISH;
    c->state = r->keeps_alive && !r->is_broken ? CONN_DROP : CONN_CLOSE;
    c->request = NULL;
    request_end(r);
    return GO;
}

static void request_end(struct http_request *r)
{
    const struct httpd *h = r->conn->httpd;

    if (r->on_done)
        r->on_done(r->data);
    if (h->handler.on_over)
        h->handler.on_over(h->arg, r);
    buf_clear(&r->text);
    buf_clear(&r->body);
    free(r);
}

static enum step drop_body(struct conn *c)
{
    size_t n = c->input.len < c->drop_left ? c->input.len : (size_t)c->drop_left;

    consume(c, n);
    c->drop_left -= n;
    if (c->drop_left == 0) {
        disarm(c);
        c->end = CONN_END_ABORT;
        c->state = CONN_HEAD;
        return GO;
    }
    if (c->deadline != CONN_DEADLINE_DROP)
        arm(c, CONN_DEADLINE_DROP, c->httpd->limits.head_ms,
            "the client sent the rest of its request too slowly");
    return WAIT;
}

static enum step close_connection(struct conn *c UNUSED)
{
    return DIE;
}

void conn_die(struct conn *c)
{
    struct httpd *h = c->httpd;
    struct http_request *r = c->request;

    turn_end_cancel(&c->resume);
    if (r && !r->is_over && r->on_gone)
        r->on_gone(r->data);
    if (r)
        request_end(r);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    if (c->end == CONN_END_FINISH) {
        h->finishing_count++;
        stream_finish(c->stream, on_finished, h);
    } else if (c->end == CONN_END_RESET) {
        stream_reset(c->stream);
    } else {
        stream_free(c->stream);
    }
    buf_clear(&c->in);
    free(c);
    h->conn_count--;
    h->on_closed(h);
}

static void on_finished(void *arg)
{
    struct httpd *h = arg;

    h->finishing_count--;
    h->on_closed(h);
}

/* Whoever waits for an answer and ends the connection has hung up. Otherwise what is queued is still sent. */
static void on_eof(void *arg)
{
    struct conn *c = arg;
    bool is_waiting = c->request && c->state != CONN_HEAD && !c->request->is_over;

    if (c->request && c->request->is_over) {
        c->request->keeps_alive = false;
        run_kept(c);
        return;
    }
    c->end = is_waiting ? CONN_END_ABORT : CONN_END_FINISH;
    conn_die(c);
}

static void on_failed(void *arg, const struct err *err UNUSED)
{
    struct conn *c = arg;

    c->end = CONN_END_ABORT;
    if (stream_leave_tls(c->stream)) {
        stream_write(c->stream, to_plain_http, sizeof to_plain_http - 1);
        c->end = CONN_END_FINISH;
    }
    conn_die(c);
}

static void on_drained(void *arg)
{
    struct conn *c = arg;

    if (c->deadline == CONN_DEADLINE_STALL)
        disarm(c);
    tell_drained(c);
    if (c->state == CONN_HEAD)
        conn_touch(c);
}

static void tell_drained(struct conn *c)
{
    struct http_request *r = c->request;
    void (*told)(void *);

    if (!r || !r->on_drained || r->is_over || stream_is_full(c->stream))
        return;
    told = r->on_drained;
    r->on_drained = NULL;
    told(r->data);
}

void conn_touch(struct conn *c)
{
    if (!c->is_running)
        turn_end_schedule(c->httpd->loop, &c->resume);
}

void conn_close_if_idle(struct conn *c)
{
    if (c->state != CONN_HEAD || c->in.len)
        return;
    c->end = CONN_END_FINISH;
    conn_die(c);
}

void conn_watch_stall(struct conn *c)
{
    if (c->deadline == CONN_DEADLINE_NONE && stream_is_full(c->stream))
        arm(c, CONN_DEADLINE_STALL, BODY_GRACE_MS + queued_ms(c),
            "the client does not take its answer");
}

static void arm(struct conn *c, enum conn_deadline which, int64_t ms, const char *sentence)
{
    c->deadline = which;
    stream_deadline(c->stream, ms, sentence);
}

static void disarm(struct conn *c)
{
    if (c->deadline != CONN_DEADLINE_NONE)
        stream_deadline(c->stream, 0, NULL);
    c->deadline = CONN_DEADLINE_NONE;
}

/* How long the client may need for what is queued. */
static int64_t queued_ms(const struct conn *c)
{
    uint64_t queued = stream_offered(c->stream) - stream_taken(c->stream);

    return (int64_t)(queued * 1000) / c->httpd->limits.body_rate_min;
}
