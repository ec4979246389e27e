/* httpd_fixture.c - see the header. */
#include "tests/net/httpd_fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SPEED 20

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

struct loop *loop;
struct httpd *server;
struct addr address;
struct buf seen;
struct http_request *pending;
static size_t fds_before;

const struct httpd_limits usual = {
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

const char *log_text(void)
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

void answer(struct http_request *r, struct span text)
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

void serve_with(const struct httpd_limits *limits)
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

void serve(void)
{
    serve_with(&usual);
}

void stop(void)
{
    httpd_free(server);
    loop_free(loop);
    buf_clear(&seen);
    ck_assert_uint_eq(open_descriptors(), fds_before);
}

struct peer *dial(void)
{
    return peer_connect(loop, &address);
}

void await_log(const char *text)
{
    for (int i = 0; i < 6000 && !strstr(log_text(), text); i++)
        pass_ms(loop, 10);
    ck_assert_msg(strstr(log_text(), text), "waited in vain for '%s' in '%s'", text, log_text());
}

void await_count(size_t n)
{
    for (int i = 0; i < 6000 && httpd_connection_count(server) != n; i++)
        pass_ms(loop, i < 500 ? 0 : 10);
    ck_assert_uint_eq(httpd_connection_count(server), n);
}
