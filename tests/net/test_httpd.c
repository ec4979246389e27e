/* test_httpd.c - the server against sockets that behave well, badly and not at all. For the server time runs a hundred times
 * faster, so that the 10 s of grace for slow bodies and slow readers are 100 ms. */
#include <check.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/httpd.h"
#include "tests/net/peer.h"

#define SPEED 100

void __real_stream_deadline(struct stream *s, int64_t ms, const char *sentence);
void __wrap_stream_deadline(struct stream *s, int64_t ms, const char *sentence);
int64_t __real_clock_monotonic(void);
int64_t __wrap_clock_monotonic(void);

void __wrap_stream_deadline(struct stream *s, int64_t ms, const char *sentence)
{
    __real_stream_deadline(s, (ms + SPEED - 1) / SPEED, sentence);
}

int64_t __wrap_clock_monotonic(void)
{
    return __real_clock_monotonic() * SPEED;
}

/* The server's handler: what it does is in the path; what happened to it is in `log`. */
static struct loop *loop;
static struct httpd *server;
static struct addr address;
static struct buf seen; /* "head:/a body:3 gone done " */
static struct http_request *pending;
static size_t fds_before;

static const struct httpd_limits usual = {
    .head = {.head_bytes_max = 2048, .target_bytes_max = 256},
    .body_bytes_max = 1 << 20,
    .handshake_ms = 30000,
    .head_ms = 50000,
    .idle_ms = 50000,
    .body_rate_min = 1000,
    .connections_max = 100,
};

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_add_string(&seen, text);
}

static const char *log_text(void)
{
    return seen.data ? seen.data : "";
}

static void on_gone(void *data)
{
    const struct http_request *r = data;

    ck_assert_uint_le(http_reply_taken(r), http_reply_offered(r));
    note("gone ");
}

static void on_done(void *data)
{
    note("done ");
    if (data == pending)
        pending = NULL;
}

static void answer(struct http_request *r, struct span text)
{
    http_reply(r, 200, &(struct http_field){"content-type", "text/plain"}, 1, text);
}

static void on_head(void *arg UNUSED, struct http_request *r)
{
    struct span path = http_request_path(r);

    note("head:%.*s ", SPAN_FMT(path));
    http_request_set_data(r, r);
    http_request_watch(r, on_gone, on_done);
    if (span_equal(path, SPAN("/now")))
        answer(r, SPAN("now"));
    else if (span_equal(path, SPAN("/query")))
        answer(r, http_request_query(r));
    else if (span_equal(path, SPAN("/deny")))
        http_reply(r, 401, NULL, 0, SPAN("denied"));
    else if (span_equal(path, SPAN("/empty")))
        http_reply(r, 204, NULL, 0, SPAN(""));
    else if (span_equal(path, SPAN("/wait")))
        pending = r;
    else if (span_equal(path, SPAN("/small")))
        http_request_accept_body(r, 10);
    else
        http_request_accept_body(r, SIZE_MAX);
}

static void on_body(void *arg UNUSED, struct http_request *r)
{
    struct span body = http_request_body(r);

    note("body:%zu ", body.len);
    if (span_equal(http_request_path(r), SPAN("/later")))
        pending = r;
    else
        answer(r, body);
}

static void on_refused(void *arg UNUSED, struct http_request *r, unsigned status,
                       const struct err *err)
{
    note("refused:%u ", status);
    ck_assert_uint_gt(strlen(err->text), 0);
    http_reply(r, status, NULL, 0, span_of(err->text));
}

static const struct httpd_handler handler = {on_head, on_body, on_refused, NULL};

static void serve_with(const struct httpd_limits *limits)
{
    struct err err;
    int fd;

    fds_before = open_descriptors();
    buf_init(&seen, SIZE_MAX);
    pending = NULL;
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    ck_assert(addr_parse("127.0.0.1:0", &address, &err));
    fd = addr_listen(&address, &address, &err);
    ck_assert_int_ge(fd, 0);
    server = httpd_new(loop, fd, NULL, limits, &handler, NULL);
}

static void serve(void)
{
    serve_with(&usual);
}

static void stop(void)
{
    httpd_free(server);
    loop_free(loop);
    buf_clear(&seen);
    ck_assert_uint_eq(open_descriptors(), fds_before);
}

static struct peer *dial(void)
{
    return peer_connect(loop, &address);
}

/* Until the server has noted `text`. */
static void await_log(const char *text)
{
    for (int i = 0; i < 500 && !strstr(log_text(), text); i++)
        pass_ms(loop, 10);
    ck_assert_msg(strstr(log_text(), text), "waited in vain for '%s' in '%s'", text, log_text());
}

static void await_count(size_t n)
{
    for (int i = 0; i < 1000 && httpd_connection_count(server) != n; i++)
        pass_ms(loop, i < 500 ? 0 : 10);
    ck_assert_uint_eq(httpd_connection_count(server), n);
}

#define HOST               "Host: a\r\n"
#define GET(path)          "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST(path, length) "POST " path " HTTP/1.1\r\n" HOST "Content-Length: " length "\r\n\r\n"
#define CHUNKED(path)      "POST " path " HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

START_TEST(a_connection_serves_request_after_request)
{
    struct peer *p = dial();

    for (int i = 0; i < 3; i++) {
        peer_forget(p);
        peer_say(p, POST("/echo", "5") "hello");
        ck_assert(peer_await(p, "\r\n\r\nhello"));
        ck_assert_ptr_nonnull(strstr(peer_text(p), "HTTP/1.1 200 OK\r\n"));
        ck_assert_ptr_nonnull(strstr(peer_text(p), "content-length: 5\r\n"));
        ck_assert_ptr_nonnull(strstr(peer_text(p), "content-type: text/plain\r\n"));
        ck_assert_ptr_nonnull(strstr(peer_text(p), " GMT\r\n"));
        ck_assert_ptr_null(strstr(peer_text(p), "connection:"));
    }
    ck_assert_uint_eq(count_of(log_text(), "head:/echo body:5 done "), 3);
    peer_free(p);
}
END_TEST

/* Each whole on its own connection, sent in two pieces cut at every place, and byte by byte. */
static const struct {
    const char *request, *answer;
} exchanges[] = {
    {GET("/now"), "\r\n\r\nnow"},
    {GET("/query?a=b%20c&d"), "\r\n\r\na=b%20c&d"},
    {POST("/echo", "11") "hello world", "\r\n\r\nhello world"},
    {POST("/echo", "0"), "content-length: 0\r\n"},
    {CHUNKED("/echo") "5\r\nhello\r\n6;x\r\n world\r\n0\r\nA: b\r\n\r\n", "\r\n\r\nhello world"},
    {CHUNKED("/echo") "0\r\n\r\n", "content-length: 0\r\n"},
};

START_TEST(a_request_may_be_cut_anywhere)
{
    const char *text = exchanges[_i].request;
    struct peer *p = dial();

    for (size_t cut = 1; cut < strlen(text); cut++) {
        peer_forget(p);
        peer_send(p, (struct span){text, cut});
        pass_turns(loop);
        peer_say(p, text + cut);
        ck_assert(peer_await(p, exchanges[_i].answer));
    }
    peer_forget(p);
    for (const char *byte = text; *byte; byte++) {
        peer_send(p, (struct span){byte, 1});
        pass_turns(loop);
    }
    ck_assert(peer_await(p, exchanges[_i].answer));
    peer_free(p);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct peer *p = dial();

    peer_say(p, POST("/echo", "3") "one" GET("/now")
                    CHUNKED("/echo") "3\r\ntwo\r\n0\r\n\r\n" POST("/deny", "3") "bad" GET("/now"));
    ck_assert(peer_await(p, "denied"));
    for (int i = 0; i < 100 && count_of(peer_text(p), "\r\n\r\nnow") < 2; i++)
        pass_ms(loop, 10);
    ck_assert_str_eq(log_text(), "head:/echo body:3 done head:/now done head:/echo body:3 done "
                                 "head:/deny done head:/now done ");
    ck_assert(strstr(peer_text(p), "one") < strstr(peer_text(p), "two"));
    peer_free(p);
}
END_TEST

START_TEST(a_pipelined_request_waits_until_the_one_before_is_answered)
{
    struct peer *p = dial();

    peer_say(p, GET("/wait") GET("/now"));
    await_log("head:/wait");
    pass_ms(loop, 20);
    ck_assert_str_eq(log_text(), "head:/wait ");
    answer(pending, SPAN("first"));
    ck_assert(peer_await(p, "\r\n\r\nnow"));
    ck_assert_ptr_nonnull(strstr(peer_text(p), "first"));
    peer_free(p);
}
END_TEST

START_TEST(a_flood_behind_a_waiting_request_is_not_read)
{
    struct peer *p = dial();
    char flood[65536];
    size_t total = 0;

    memset(flood, 'x', sizeof flood);
    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    for (int i = 0; i < 400; i++) {
        ssize_t n = peer_push(p, (struct span){flood, sizeof flood});

        total += n > 0 ? (size_t)n : 0;
        pass_turns(loop);
    }
    ck_assert_uint_lt(total, 16 << 20);
    ck_assert_str_eq(log_text(), "head:/wait ");
    answer(pending, SPAN("first"));
    ck_assert(peer_await(p, "first"));
    ck_assert(peer_await(p, "HTTP/1.1 501"));
    peer_free(p);
}
END_TEST

static const struct {
    const char *request, *expected;
    bool closes;
} manners[] = {
    {"GET /now HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "connection: close\r\n", true},
    {"GET /now HTTP/1.0\r\n\r\n", "connection: close\r\n", true},
    {"GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "connection: keep-alive\r\n", false},
    {"HEAD /now HTTP/1.1\r\n" HOST "\r\n", "content-length: 3\r\n", false},
    {GET("/empty"), "204 No Content\r\n", false},
    {"\r\n" GET("/now"), "now", false},
};

START_TEST(the_connection_ends_when_it_was_agreed)
{
    struct peer *p = dial();

    peer_say(p, manners[_i].request);
    ck_assert(peer_await(p, manners[_i].expected));
    if (manners[_i].closes) {
        peer_await_end(p);
        ck_assert(!p->is_reset);
    } else {
        pass_ms(loop, 20);
        ck_assert(!p->is_ended);
        ck_assert_uint_eq(count_of(peer_text(p), "\r\n\r\nnow"), _i == 5 || _i == 2);
        peer_forget(p);
        peer_say(p, GET("/now"));
        ck_assert(peer_await(p, "now"));
    }
    peer_free(p);
}
END_TEST

START_TEST(no_content_has_no_length)
{
    struct peer *p = dial();

    peer_say(p, GET("/empty"));
    ck_assert(peer_await(p, "\r\n\r\n"));
    ck_assert_ptr_null(strstr(peer_text(p), "content-length"));
    ck_assert_ptr_null(strstr(peer_text(p), "transfer-encoding"));
    peer_free(p);
}
END_TEST

/* What is refused is answered, and the connection ends cleanly although the client would have gone on. */
static const struct {
    const char *request, *log, *status;
} refusals[] = {
    {"GET / HTTP/1.1\r\n\r\n", "refused:400 ", "HTTP/1.1 400 Bad Request"},
    {"GET / HTTP/1.1\nHost: a\n\n", "refused:400 ", "HTTP/1.1 400"},
    {"\x16\x03\x01\x02", "refused:400 ", "HTTP/1.1 400"},
    {"TRACE / HTTP/1.1\r\n" HOST "\r\n", "refused:405 ", "HTTP/1.1 405"},
    {"BREW / HTTP/1.1\r\n" HOST "\r\n", "refused:501 ", "HTTP/1.1 501"},
    {"GET / HTTP/3.0\r\n" HOST "\r\n", "refused:505 ", "HTTP/1.1 505"},
    {POST("/small", "11"), "head:/small refused:413 done ", "HTTP/1.1 413 Content Too Large"},
    {POST("/echo", "1048577"), "head:/echo refused:413 done ", "HTTP/1.1 413"},
    {CHUNKED("/small") "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n", "head:/small refused:413 done ",
     "HTTP/1.1 413"},
    {CHUNKED("/small") "fffffff\r\nhello world", "head:/small refused:413 done ", "HTTP/1.1 413"},
    {CHUNKED("/echo") "5\r\nhello\n", "head:/echo refused:400 done ", "HTTP/1.1 400"},
    {CHUNKED("/echo") "x", "head:/echo refused:400 done ", "HTTP/1.1 400"},
};

START_TEST(what_is_refused_is_answered_and_ends_cleanly)
{
    struct peer *p = dial();
    char rest[10000];

    memset(rest, '\r', sizeof rest);
    peer_say(p, refusals[_i].request);
    ck_assert(peer_await(p, refusals[_i].status));
    for (int i = 0; i < 20; i++) {
        peer_push(p, (struct span){rest, sizeof rest});
        pass_turns(loop);
    }
    peer_await_end(p);
    ck_assert(!p->is_reset);
    ck_assert_ptr_nonnull(strstr(peer_text(p), "connection: close\r\n"));
    ck_assert_str_eq(log_text(), refusals[_i].log);
    peer_free(p);
    await_count(0);
}
END_TEST

START_TEST(a_head_or_target_over_its_limit_is_refused_before_it_is_whole)
{
    struct peer *p = dial(), *q = dial();
    char x[3000];

    memset(x, 'x', sizeof x);
    peer_say(p, "GET / HTTP/1.1\r\nA: ");
    peer_send(p, (struct span){x, sizeof x});
    ck_assert(peer_await(p, "HTTP/1.1 431"));
    peer_await_end(p);
    peer_say(q, "GET /");
    peer_send(q, (struct span){x, 300});
    ck_assert(peer_await(q, "HTTP/1.1 414"));
    peer_await_end(q);
    ck_assert(!p->is_reset && !q->is_reset);
    peer_free(p);
    peer_free(q);
}
END_TEST

/* The answer to a request whose megabytes nobody wants must survive that they are still being sent. */
START_TEST(an_early_answer_is_not_lost_to_a_body_that_still_comes)
{
    struct peer *p = dial();
    char body[65536];

    memset(body, 'x', sizeof body);
    peer_say(p, POST("/deny", "8000000"));
    for (int i = 0; i < 40; i++) {
        peer_push(p, (struct span){body, sizeof body});
        pass_turns(loop);
    }
    ck_assert(peer_await(p, "denied"));
    ck_assert_ptr_nonnull(strstr(peer_text(p), "connection: close\r\n"));
    peer_await_end(p);
    ck_assert(!p->is_reset);
    peer_free(p);
}
END_TEST

START_TEST(a_short_body_that_nobody_wants_is_dropped)
{
    struct peer *p = dial();
    char body[40000];

    memset(body, 'x', sizeof body);
    peer_say(p, POST("/deny", "40000"));
    ck_assert(peer_await(p, "denied"));
    ck_assert_ptr_null(strstr(peer_text(p), "connection:"));
    peer_send(p, (struct span){body, sizeof body});
    peer_say(p, GET("/now"));
    ck_assert(peer_await(p, "\r\n\r\nnow"));
    ck_assert_str_eq(log_text(), "head:/deny done head:/now done ");

    peer_forget(p);
    peer_say(p, POST("/deny", "40000"));
    ck_assert(peer_await(p, "denied"));
    peer_await_end(p); /* it never came: the deadline */
    peer_free(p);
}
END_TEST

START_TEST(a_chunked_body_that_nobody_wants_ends_the_connection)
{
    struct peer *p = dial();

    peer_say(p, CHUNKED("/deny") "5\r\nhello\r\n");
    ck_assert(peer_await(p, "denied"));
    ck_assert_ptr_nonnull(strstr(peer_text(p), "connection: close\r\n"));
    peer_await_end(p);
    ck_assert(!p->is_reset);
    peer_free(p);
}
END_TEST

#define EXPECT(path) \
    "POST " path " HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"

START_TEST(continue_is_said_only_when_the_body_is_wanted)
{
    struct peer *p = dial(), *q = dial(), *r = dial();

    peer_say(p, EXPECT("/wait"));
    await_log("head:/wait");
    pass_ms(loop, 20);
    ck_assert_str_eq(peer_text(p), "");
    http_request_accept_body(pending, 10);
    ck_assert(peer_await(p, "HTTP/1.1 100 Continue\r\n\r\n"));
    peer_say(p, "hello");
    ck_assert(peer_await(p, "\r\n\r\nhello"));
    ck_assert_ptr_null(strstr(peer_text(p), "connection:"));

    peer_say(q, EXPECT("/deny"));
    peer_await_end(q);
    ck_assert_ptr_null(strstr(peer_text(q), "100 Continue"));
    ck_assert_ptr_nonnull(strstr(peer_text(q), "connection: close\r\n"));

    peer_say(r, EXPECT("/echo") "hello");
    ck_assert(peer_await(r, "\r\n\r\nhello"));
    ck_assert_ptr_null(strstr(peer_text(r), "100 Continue"));
    peer_free(p);
    peer_free(q);
    peer_free(r);
}
END_TEST

static const char hang_up_request[] =
    CHUNKED("/later") "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" GET("/now");

/* After every byte of a request, in three ways: close, reset, half-close. on_gone comes exactly when the handler knew of the
 * request, on_done always follows, and nothing is left behind. */
START_TEST(a_client_may_hang_up_after_any_byte)
{
    for (size_t n = 0; n < sizeof hang_up_request; n++) {
        struct peer *p = dial();
        size_t heads;

        peer_send(p, (struct span){hang_up_request, n});
        for (int i = 0; i < 100 && httpd_connection_count(server) == 0; i++)
            pass_turns(loop);
        pass_turns(loop);
        heads = count_of(log_text(), "head:");
        if (_i == 0)
            peer_free(p);
        else if (_i == 1)
            peer_reset(p);
        else
            peer_half_close(p);
        if (_i == 2) {
            peer_await_end(p);
            peer_free(p);
        }
        await_count(0);
        ck_assert_uint_eq(heads, n >= strlen(CHUNKED("/later")));
        ck_assert_uint_eq(count_of(log_text(), "gone "), heads);
        ck_assert_uint_eq(count_of(log_text(), "done "), heads);
        buf_truncate(&seen, 0);
    }
}
END_TEST

START_TEST(an_answer_may_be_streamed)
{
    struct peer *p = dial();

    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("data: 1\n\n"));
    ck_assert(peer_await(p, "transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"));
    http_reply_write(pending, SPAN(""));
    http_reply_write(pending, SPAN("data: 0123456789\n\n"));
    ck_assert_uint_eq(http_reply_offered(pending), 27);
    http_reply_end(pending);
    ck_assert(peer_await(p, "12\r\ndata: 0123456789\n\n\r\n0\r\n\r\n"));
    ck_assert_str_eq(log_text(), "head:/wait done ");
    peer_say(p, GET("/now"));
    ck_assert(peer_await(p, "now"));
    peer_free(p);
}
END_TEST

START_TEST(a_streamed_answer_to_head_has_no_body)
{
    struct peer *p = dial();

    peer_say(p, "HEAD /wait HTTP/1.1\r\n" HOST "\r\n");
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("payload"));
    http_reply_end(pending);
    peer_say(p, GET("/now"));
    ck_assert(peer_await(p, "\r\n\r\nnow"));
    ck_assert_ptr_null(strstr(peer_text(p), "payload"));
    ck_assert_uint_eq(count_of(peer_text(p), "\r\n\r\nHTTP/1.1"), 1);
    peer_free(p);
}
END_TEST

START_TEST(a_broken_answer_is_never_taken_for_whole)
{
    struct peer *chunked = dial(), *plain = dial(), *none = dial();

    peer_say(chunked, GET("/wait"));
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("part"));
    http_reply_break(pending);
    peer_await_end(chunked);
    ck_assert_ptr_nonnull(strstr(peer_text(chunked), "4\r\npart\r\n"));
    ck_assert_ptr_null(strstr(peer_text(chunked), "0\r\n\r\n"));
    ck_assert_ptr_null(pending);

    buf_truncate(&seen, 0);
    peer_say(plain, "GET /wait HTTP/1.0\r\n\r\n");
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("part"));
    ck_assert(peer_await(plain, "\r\n\r\npart"));
    http_reply_break(pending);
    peer_await_end(plain);
    ck_assert(plain->is_reset);

    buf_truncate(&seen, 0);
    peer_say(none, GET("/wait"));
    await_log("head:/wait");
    http_reply_break(pending);
    peer_await_end(none);
    ck_assert_str_eq(peer_text(none), "");
    ck_assert_str_eq(log_text(), "head:/wait done ");
    peer_free(chunked);
    peer_free(plain);
    peer_free(none);
}
END_TEST

START_TEST(an_answer_until_close_ends_with_the_connection)
{
    struct peer *p = dial();

    peer_say(p, "GET /wait HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("whole"));
    http_reply_end(pending);
    peer_await_end(p);
    ck_assert(!p->is_reset);
    ck_assert_ptr_nonnull(strstr(peer_text(p), "connection: close\r\n\r\nwhole"));
    peer_free(p);
}
END_TEST

static bool was_drained;
static void on_drained(void *data UNUSED)
{
    ck_assert(!was_drained);
    was_drained = true;
}

static bool ends_with(const struct buf *b, struct span end)
{
    return b->len >= end.len && memcmp(b->data + b->len - end.len, end.data, end.len) == 0;
}

/* Writes 1 KB pieces until the client's socket and the queue are full; then the client reads. */
START_TEST(a_slow_reader_is_felt_and_what_it_took_is_never_overstated)
{
    struct peer *p = dial();
    char piece[1024];
    uint64_t offered;

    memset(piece, 'x', sizeof piece);
    was_drained = false;
    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    watch_want(p->watch, false, false);
    http_reply_start(pending, 200, NULL, 0);
    for (int i = 0; i < 100000 && !http_reply_is_full(pending); i++) {
        http_reply_write(pending, (struct span){piece, sizeof piece});
        if (i % 100 == 0)
            pass_turns(loop);
    }
    ck_assert(http_reply_is_full(pending));
    http_reply_on_drained(pending, on_drained);
    offered = http_reply_offered(pending);
    pass_ms(loop, 20);
    ck_assert_uint_lt(http_reply_taken(pending), offered);
    ck_assert_uint_gt(http_reply_taken(pending), 0);
    ck_assert(!was_drained);
    watch_want(p->watch, true, false);
    for (int i = 0; i < 500 && http_reply_taken(pending) < offered; i++) {
        ck_assert_uint_le(http_reply_taken(pending), offered);
        pass_turns(loop);
    }
    ck_assert(was_drained);
    ck_assert_uint_eq(http_reply_taken(pending), offered);
    http_reply_end(pending);
    for (int i = 0; i < 500 && !ends_with(&p->got, SPAN("\r\n0\r\n\r\n")); i++)
        pass_ms(loop, 10);
    ck_assert_uint_eq(count_of(peer_text(p), "\r\n400\r\n"), offered / 1024);
    peer_free(p);
}
END_TEST

START_TEST(a_client_that_stops_reading_is_given_up)
{
    struct peer *p = dial();
    char piece[65536];

    memset(piece, 'x', sizeof piece);
    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    watch_want(p->watch, false, false);
    http_reply_start(pending, 200, NULL, 0);
    while (pending && !http_reply_is_full(pending)) {
        http_reply_write(pending, (struct span){piece, sizeof piece});
        pass_turns(loop);
    }
    await_log("gone done ");
    await_count(0);
    peer_free(p);
}
END_TEST

START_TEST(a_reset_while_streaming_is_told_at_once)
{
    struct peer *p = dial();

    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    http_reply_start(pending, 200, NULL, 0);
    http_reply_write(pending, SPAN("data: 1\n\n"));
    ck_assert(peer_await(p, "data: 1"));
    peer_reset(p);
    await_log("gone done ");
    await_count(0);
}
END_TEST

START_TEST(a_field_can_not_smuggle_a_line)
{
    struct http_field field = {"x-reason", "a\r\nset-cookie: b\x01"};
    struct peer *p = dial();

    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    http_reply(pending, 200, &field, 1, SPAN("end"));
    ck_assert(peer_await(p, "\r\n\r\nend"));
    ck_assert_ptr_nonnull(strstr(peer_text(p), "x-reason: a  set-cookie: b \r\n"));
    peer_free(p);
}
END_TEST

/* Each stalls after what it says; the connection must be gone in time, and was there before. */
static const struct {
    const char *said, *log;
} stalls[] = {
    {"", ""},
    {"GET /now HT", ""},
    {"GET /now HTTP/1.1\r\nHost: a\r\n", ""},
    {POST("/echo", "100") "hello", "head:/echo gone done "},
    {CHUNKED("/echo") "5\r\nhel", "head:/echo gone done "},
};

START_TEST(who_stalls_is_given_up)
{
    struct peer *p = dial();

    peer_say(p, stalls[_i].said);
    pass_ms(loop, 50);
    ck_assert_uint_eq(httpd_connection_count(server), 1);
    peer_await_end(p);
    await_count(0);
    ck_assert_str_eq(log_text(), stalls[_i].log);
    peer_free(p);
}
END_TEST

START_TEST(a_head_has_an_absolute_end_though_bytes_keep_coming)
{
    struct peer *p = dial();

    peer_say(p, "GET /now HTTP/1.1\r\nA: ");
    for (int i = 0; i < 100 && !p->is_ended; i++) {
        peer_push(p, SPAN("x"));
        pass_ms(loop, 10);
    }
    ck_assert(p->is_ended);
    peer_free(p);
}
END_TEST

/* The grace is 100 ms here, and 1000 bytes earn 10 ms more. */
START_TEST(a_body_may_take_as_long_as_its_rate_earns)
{
    struct peer *slow = dial(), *steady = dial();
    char kilobytes[2000];

    memset(kilobytes, 'x', sizeof kilobytes);
    peer_say(steady, POST("/echo", "32000"));
    peer_say(slow, POST("/later", "32000"));
    for (int i = 0; i < 16; i++) {
        peer_send(steady, (struct span){kilobytes, sizeof kilobytes});
        peer_push(slow, (struct span){kilobytes, 1});
        pass_ms(loop, 15);
    }
    ck_assert(peer_await(steady, "HTTP/1.1 200"));
    ck_assert(slow->is_ended);
    peer_free(slow);
    peer_free(steady);
}
END_TEST

START_TEST(more_connections_than_allowed_wait)
{
    struct httpd_limits few = usual;
    struct peer *p[5];

    few.connections_max = 2;
    serve_with(&few);
    for (int i = 0; i < 5; i++) {
        p[i] = dial();
        peer_say(p[i], GET("/now"));
    }
    ck_assert(peer_await(p[0], "now") && peer_await(p[1], "now"));
    pass_ms(loop, 30);
    ck_assert_uint_eq(httpd_connection_count(server), 2);
    ck_assert_str_eq(peer_text(p[2]), "");
    for (int i = 0; i < 5; i++) {
        ck_assert(peer_await(p[i], "now"));
        peer_free(p[i]);
    }
    stop();
}
END_TEST

START_TEST(running_out_of_descriptors_is_survived)
{
    struct rlimit before, tight;
    struct peer *p[12], *late;
    int ended = 0;

    for (int i = 0; i < 12; i++)
        p[i] = dial();
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)p[11]->fd + 4;
    setrlimit(RLIMIT_NOFILE, &tight);
    pass_ms(loop, 150);
    for (int i = 0; i < 12; i++)
        ended += p[i]->is_ended;
    ck_assert_int_ge(ended, 1); /* told rather than left waiting */
    ck_assert_uint_ge(httpd_connection_count(server), 3);
    for (int i = 0; i < 12; i++)
        peer_free(p[i]);
    setrlimit(RLIMIT_NOFILE, &before);
    late = dial();
    peer_say(late, GET("/now"));
    ck_assert(peer_await(late, "now"));
    peer_free(late);
}
END_TEST

/* Fast enough a rate that 20 MB are due at once after the grace of 100 ms. */
START_TEST(a_client_that_asks_on_and_on_and_never_reads_is_given_up)
{
    struct httpd_limits fast = usual;
    char *large = calloc(1, 20 << 20);
    struct peer *p;

    fast.body_rate_min = 100 << 20;
    serve_with(&fast);
    p = dial();
    watch_want(p->watch, false, false);
    peer_say(p, GET("/wait") GET("/now"));
    await_log("head:/wait");
    answer(pending, (struct span){large, 20 << 20});
    await_count(0);
    ck_assert_str_eq(log_text(), "head:/wait done ");
    peer_free(p);
    free(large);
    stop();
}
END_TEST

START_TEST(a_half_close_after_the_answer_loses_nothing_of_it)
{
    size_t n = 8 << 20;
    char *large = calloc(1, n);
    struct peer *p = dial();

    memset(large, 'x', n);
    watch_want(p->watch, false, false);
    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    answer(pending, (struct span){large, n});
    pass_turns(loop);
    peer_half_close(p);
    pass_turns(loop);
    watch_want(p->watch, true, false);
    peer_await_end(p);
    ck_assert(!p->is_reset);
    ck_assert_uint_gt(p->got.len, n);
    peer_free(p);
    free(large);
}
END_TEST

static bool is_idle;
static void on_idle(void *arg UNUSED)
{
    is_idle = true;
}

START_TEST(draining_lets_requests_finish_and_nothing_else)
{
    struct peer *idle = dial(), *busy = dial();
    int refused;

    is_idle = false;
    peer_say(idle, GET("/now"));
    ck_assert(peer_await(idle, "now"));
    peer_say(busy, GET("/wait"));
    await_log("head:/wait");
    httpd_drain(server, on_idle, NULL);
    peer_await_end(idle);
    ck_assert(!idle->is_reset && !is_idle);
    refused = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(connect(refused, &address.u.any, address.len), 0);
    close(refused);
    answer(pending, SPAN("last"));
    ck_assert(peer_await(busy, "\r\n\r\nlast"));
    ck_assert_ptr_nonnull(strstr(peer_text(busy), "connection: close\r\n"));
    peer_await_end(busy);
    peer_free(idle);
    ck_assert(!is_idle); /* until the last client has closed its end too */
    peer_free(busy);
    await_count(0);
    ck_assert(is_idle);
}
END_TEST

START_TEST(a_retiring_server_answers_each_connection_once_more)
{
    struct peer *quiet = dial(), *silent = dial(), *busy = dial();
    int refused;

    is_idle = false;
    peer_say(quiet, GET("/now"));
    ck_assert(peer_await(quiet, "now"));
    peer_say(silent, GET("/now"));
    ck_assert(peer_await(silent, "now"));
    peer_say(busy, GET("/wait"));
    await_log("head:/wait");
    httpd_retire(server, on_idle, NULL);
    refused = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(connect(refused, &address.u.any, address.len), 0);
    close(refused);
    ck_assert_ptr_null(strstr(peer_text(quiet), "connection: close\r\n"));
    peer_say(quiet, GET("/now"));
    peer_await_end(quiet);
    ck_assert(!quiet->is_reset);
    ck_assert_ptr_nonnull(strstr(peer_text(quiet), "connection: close\r\n"));
    answer(pending, SPAN("last"));
    peer_await_end(busy);
    ck_assert_ptr_nonnull(strstr(peer_text(busy), "connection: close\r\n"));
    peer_free(quiet);
    peer_free(busy);
    await_count(1);
    ck_assert(!is_idle);
    httpd_drain(server, on_idle, NULL);
    peer_await_end(silent);
    peer_free(silent);
    await_count(0);
    ck_assert(is_idle);
}
END_TEST

START_TEST(draining_a_server_without_connections_is_done_at_once)
{
    is_idle = false;
    httpd_drain(server, on_idle, NULL);
    ck_assert(is_idle);
}
END_TEST

static void free_server(void *arg UNUSED)
{
    httpd_free(server);
    server = NULL;
}

START_TEST(a_server_may_be_freed_when_it_is_idle)
{
    struct peer *p = dial();

    peer_say(p, GET("/wait"));
    await_log("head:/wait");
    httpd_drain(server, free_server, NULL);
    answer(pending, SPAN("last"));
    peer_await_end(p);
    peer_free(p);
    for (int i = 0; i < 100 && server; i++)
        pass_ms(loop, 10);
    ck_assert_ptr_null(server);
}
END_TEST

START_TEST(freeing_the_server_breaks_what_is_left)
{
    struct peer *head = dial(), *body = dial(), *wait = dial(), *closing = dial(), *over = dial();
    const struct http_request *waiting;

    peer_say(head, "GET /no");
    peer_say(body, POST("/echo", "10") "x");
    peer_say(closing, "GET /now HTTP/1.0\r\n\r\n");
    peer_await_end(closing);
    peer_say(wait, GET("/wait"));
    await_log("head:/wait");
    waiting = pending;
    buf_truncate(&seen, 0);
    peer_say(over, GET("/wait"));
    await_log("head:/wait");
    buf_truncate(&seen, 0);
    ck_assert_ptr_ne(pending, waiting);
    answer(pending, SPAN("over"));
    httpd_free(server);
    server = NULL;
    ck_assert_str_eq(log_text(), "done gone done gone done ");
    peer_await_end(head);
    peer_await_end(body);
    peer_await_end(wait);
    peer_free(head);
    peer_free(body);
    peer_free(wait);
    peer_free(closing);
    peer_free(over);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpd");
    TCase *c = tcase_create("served"), *own = tcase_create("with its own server");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, c);
    suite_add_tcase(suite, own);
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_test(c, a_connection_serves_request_after_request);
    tcase_add_loop_test(c, a_request_may_be_cut_anywhere, 0, ARRAY_LEN(exchanges));
    tcase_add_test(c, pipelined_requests_are_answered_in_order);
    tcase_add_test(c, a_pipelined_request_waits_until_the_one_before_is_answered);
    tcase_add_test(c, a_flood_behind_a_waiting_request_is_not_read);
    tcase_add_loop_test(c, the_connection_ends_when_it_was_agreed, 0, ARRAY_LEN(manners));
    tcase_add_test(c, no_content_has_no_length);
    tcase_add_loop_test(c, what_is_refused_is_answered_and_ends_cleanly, 0, ARRAY_LEN(refusals));
    tcase_add_test(c, a_head_or_target_over_its_limit_is_refused_before_it_is_whole);
    tcase_add_test(c, an_early_answer_is_not_lost_to_a_body_that_still_comes);
    tcase_add_test(c, a_short_body_that_nobody_wants_is_dropped);
    tcase_add_test(c, a_chunked_body_that_nobody_wants_ends_the_connection);
    tcase_add_test(c, continue_is_said_only_when_the_body_is_wanted);
    tcase_add_loop_test(c, a_client_may_hang_up_after_any_byte, 0, 3);
    tcase_add_test(c, an_answer_may_be_streamed);
    tcase_add_test(c, a_streamed_answer_to_head_has_no_body);
    tcase_add_test(c, a_broken_answer_is_never_taken_for_whole);
    tcase_add_test(c, an_answer_until_close_ends_with_the_connection);
    tcase_add_test(c, a_slow_reader_is_felt_and_what_it_took_is_never_overstated);
    tcase_add_test(c, a_client_that_stops_reading_is_given_up);
    tcase_add_test(c, a_reset_while_streaming_is_told_at_once);
    tcase_add_test(c, a_half_close_after_the_answer_loses_nothing_of_it);
    tcase_add_test(c, a_field_can_not_smuggle_a_line);
    tcase_add_loop_test(c, who_stalls_is_given_up, 0, ARRAY_LEN(stalls));
    tcase_add_test(c, a_head_has_an_absolute_end_though_bytes_keep_coming);
    tcase_add_test(c, a_body_may_take_as_long_as_its_rate_earns);
    tcase_add_test(c, running_out_of_descriptors_is_survived);
    tcase_add_test(c, draining_lets_requests_finish_and_nothing_else);
    tcase_add_test(c, a_retiring_server_answers_each_connection_once_more);
    tcase_add_test(c, draining_a_server_without_connections_is_done_at_once);
    tcase_add_test(c, a_server_may_be_freed_when_it_is_idle);
    tcase_add_test(c, freeing_the_server_breaks_what_is_left);
    tcase_add_test(own, more_connections_than_allowed_wait);
    tcase_add_test(own, a_client_that_asks_on_and_on_and_never_reads_is_given_up);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
