/* test_http1.c - heads: what is understood, and a row for each thing that must be refused. Every input is also given
 * byte by byte: the verdict must not depend on how it was cut, nor on what follows. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/http1.h"
#include "tests/base/run.h"

static const struct http_limits limits = {.head_bytes_max = 512, .target_bytes_max = 64};
static struct http_head head;

static int64_t request(struct span bytes, unsigned *status, struct err *err)
{
    return http1_request(bytes, &limits, &head, status, err);
}

static int64_t response(const char *method, struct span bytes, struct err *err)
{
    return http1_response(bytes, span_of(method), &limits, &head, err);
}

/* The verdict on the whole; checks that every shorter prefix says "more" up to the byte where it falls, and from there
 * on always the same. Copies each prefix, so that a read past its end is seen by the sanitizer. */
static int64_t steady_request(const char *text, unsigned *status, struct err *err)
{
    struct span whole = span_of(text);
    int64_t verdict, last = 0;

    *status = 0;
    verdict = request(whole, status, err);
    for (size_t n = 0; n <= whole.len; n++) {
        char *copy = malloc(n ? n : 1);
        unsigned at = 0;
        struct err why = {.code = ERR_NONE};
        int64_t now;

        memcpy(copy, text, n);
        now = request((struct span){copy, n}, &at, &why);
        if (now == 0) {
            ck_assert_msg(last == 0, "'%.*s' took its verdict back", (int)n, text);
        } else {
            ck_assert_int_eq(now, verdict);
            if (now < 0) {
                ck_assert_uint_eq(at, *status);
                ck_assert_str_eq(why.text, err->text);
            } else {
                ck_assert_uint_ge(n, (size_t)now);
            }
        }
        last = now;
        free(copy);
    }
    ck_assert_int_eq(last, verdict);
    return request(whole, status, err); /* once more: `head` points into the text again */
}

#define H    "Host: a\r\n"
#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define X16  "xxxxxxxxxxxxxxxx"
#define X64  X16 X16 X16 X16
#define X512 X64 X64 X64 X64 X64 X64 X64 X64

static const struct {
    const char *text;
    unsigned status;
    const char *sentence; /* a part of it */
} refusals[] = {
    /* framing: two answers to where the body ends */
    {POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400, "more than one Content-Length"},
    {POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "more than one Content-Length"},
    {POST "Content-Length: 3, 3\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "both"},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400, "both"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
     "more than one Transfer-Encoding"},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 400, "does not end in chunked"},
    {POST "Transfer-Encoding: identity\r\n\r\n", 400, "does not end in chunked"},
    {POST "Transfer-Encoding:\r\n\r\n", 400, "does not end in chunked"},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", 400, "does not end in chunked"},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "understood here is chunked"},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501, "understood here is chunked"},
    {POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     400, "not allowed"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0 has no"},
    {POST "Content-Length: +3\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: -3\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: 0x3\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: 3 3\r\n\r\n", 400, "not a number"},
    {POST "Content-Length:\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: 9223372036854775808\r\n\r\n", 400, "not a number"},
    {POST "Content-Length: 18446744073709551619\r\n\r\n", 400, "not a number"},
    /* lines */
    {"GET / HTTP/1.1\nHost: a\n\n", 400, "bare LF"},
    {GET "Host: a\n\r\n", 400, "bare LF"},
    {GET H "\n", 400, "bare LF"},
    {GET H "\rX", 400, "CR is not followed"},
    {GET "Host: a\rb\r\n\r\n", 400, "CR is not followed"},
    {GET H "A: b\r\n c\r\n\r\n", 400, "continued on a second line"},
    {GET H "A: b\r\n\tc\r\n\r\n", 400, "continued on a second line"},
    {GET " Host: a\r\n\r\n", 400, "continued on a second line"},
    {GET "Host : a\r\n\r\n", 400, "followed by a blank"},
    {GET "Host\t: a\r\n\r\n", 400, "followed by a blank"},
    {GET H ": b\r\n\r\n", 400, "no name"},
    {GET H "b\r\n\r\n", 400, "no colon"},
    {GET H "b(c: d\r\n\r\n", 400, "name has a byte"},
    {GET H "b\x80: d\r\n\r\n", 400, "name has a byte"},
    {GET H "b: \x01\r\n\r\n", 400, "not allowed"},
    {GET H "b: \x7f\r\n\r\n", 400, "not allowed"},
    /* Host */
    {GET "\r\n", 400, "no Host"},
    {GET H H "\r\n", 400, "more than one Host"},
    {"GET / HTTP/1.0\r\n" H H "\r\n", 400, "more than one Host"},
    {GET "Host:\r\n\r\n", 400, "not a host name"},
    {GET "Host: a b\r\n\r\n", 400, "not a host name"},
    {GET "Host: a,b\r\n\r\n", 400, "not a host name"},
    {GET "Host: a/b\r\n\r\n", 400, "not a host name"},
    {GET "Host: u@a\r\n\r\n", 400, "not a host name"},
    {GET "Host: a:\r\n\r\n", 400, "not a host name"},
    {GET "Host: :80\r\n\r\n", 400, "not a host name"},
    {GET "Host: a:b\r\n\r\n", 400, "not a host name"},
    {GET "Host: a:1:2\r\n\r\n", 400, "not a host name"},
    {GET "Host: a:65536\r\n\r\n", 400, "not a host name"},
    {GET "Host: [::1\r\n\r\n", 400, "not a host name"},
    {GET "Host: ::1]\r\n\r\n", 400, "not a host name"},
    {GET "Host: []\r\n\r\n", 400, "not a host name"},
    {GET "Host: [::1]8\r\n\r\n", 400, "not a host name"},
    {GET "Host: [::x]\r\n\r\n", 400, "not a host name"},
    {"GET http://b/ HTTP/1.1\r\n" H "\r\n", 400, "disagree"},
    {"GET http://a:80/ HTTP/1.1\r\n" H "\r\n", 400, "disagree"},
    {"GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 400, "disagree"},
    {"GET http://a HTTP/1.1\r\n" H "\r\n", 400, "without a path"},
    {"GET http://a?b/c HTTP/1.1\r\n" H "\r\n", 400, "without a path"},
    /* the request line */
    {"\x16\x03\x01", 400, "does not begin with a method"},
    {" GET / HTTP/1.1\r\n", 400, "does not begin with a method"},
    {"\r\n\r\nGET / HTTP/1.1\r\n", 400, "does not begin with a method"},
    {"\rGET / HTTP/1.1\r\n", 400, "CR is not followed"},
    {"\nGET / HTTP/1.1\r\n", 400, "does not begin with a method"},
    {"GET\t/ HTTP/1.1\r\n", 400, "does not begin with a method"},
    {"GET  / HTTP/1.1\r\n", 400, "neither a path nor"},
    {"GET /  HTTP/1.1\r\n", 400, "HTTP version"},
    {"GET /\r\n", 400, "no HTTP version"},
    {"GET / http/1.1\r\n", 400, "HTTP version"},
    {"GET / HTTP/1.1 \r\n", 400, "not allowed"},
    {"GET / HTTP/1.11\r\n", 400, "not allowed"},
    {"GET / HTTP/2.0\r\n", 505, "only HTTP/1.1"},
    {"GET / HTTP/1.2\r\n", 505, "only HTTP/1.1"},
    {"GET / HTTP/0.9\r\n", 505, "only HTTP/1.1"},
    {"get / HTTP/1.1\r\n", 501, "method"},
    {"PRI * HTTP/2.0\r\n", 501, "method"},
    {"PROPFINDPROPFINDPROPFIND / HTTP/1.1\r\n", 501, "method"},
    {"TRACE / HTTP/1.1\r\n", 405, "not allowed"},
    {"CONNECT a:443 HTTP/1.1\r\n", 405, "not allowed"},
    {"GET * HTTP/1.1\r\n", 400, "neither a path nor"},
    {"GET a/b HTTP/1.1\r\n", 400, "neither a path nor"},
    {"GET ftp://a/b HTTP/1.1\r\n", 400, "neither a path nor"},
    {"GET /a#b HTTP/1.1\r\n", 400, "percent-encoded"},
    {"GET /\xc3\xa4 HTTP/1.1\r\n", 400, "percent-encoded"},
    {"GET /\x01 HTTP/1.1\r\n", 400, "percent-encoded"},
    {POST "Expect: 200-ok\r\n\r\n", 417, "100-continue"},
    /* limits */
    {"GET /" X64 " HTTP/1.1\r\n", 414, "longer than the limit"},
    {GET H "A: " X512 "\r\n\r\n", 431, "larger than the limit"},
    {GET H "A" X512 ": b\r\n\r\n", 431, "larger than the limit"},
};

START_TEST(a_request_that_could_be_understood_in_two_ways_is_refused)
{
    unsigned status;
    struct err err = {.code = ERR_NONE};

    ck_assert_msg(steady_request(refusals[_i].text, &status, &err) == -1, "row %d: taken: %s", _i,
                  refusals[_i].text);
    ck_assert_msg(status == refusals[_i].status, "row %d: %u: %s", _i, status, err.text);
    ck_assert_msg(strstr(err.text, refusals[_i].sentence), "row %d says: %s", _i, err.text);
    ck_assert_int_eq(err.code, status == 414 || status == 431 ? ERR_LIMIT : ERR_INPUT);
}
END_TEST

START_TEST(a_nul_is_refused_wherever_it_stands)
{
    static const char text[] = "GET /a HTTP/1.1\r\nHost: abc\r\nName: value\r\n\r\n";
    struct span whole = {text, sizeof text - 1};

    for (size_t i = 0; i < whole.len; i++) {
        char copy[sizeof text];
        unsigned status = 0;

        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        ck_assert_int_eq(request((struct span){copy, whole.len}, &status, NULL), -1);
        ck_assert_msg(status == 400, "NUL at %zu: %u", i, status);
    }
}
END_TEST

START_TEST(a_request_is_taken_apart)
{
    static const char text[] =
        "POST /v1/models/a%2Fb?x=%20&y HTTP/1.1\r\nHost: example.com:8443\r\n"
        "content-length:  12 \t\r\nX-Empty:\r\nx-Twice: 1\r\nX-TWICE: 2\r\n"
        "x-utf8: caf\xc3\xa9\tx\r\nExpect: 100-Continue\r\n\r\n{\"rest\":true}";
    unsigned status;
    struct err err;
    int64_t n = steady_request(text, &status, &err);

    ck_assert_int_eq(n, strlen(text) - 13);
    ck_assert(span_equal(head.method, SPAN("POST")));
    ck_assert(span_equal(head.target, SPAN("/v1/models/a%2Fb?x=%20&y")));
    ck_assert(span_equal(head.host, SPAN("example.com:8443")));
    ck_assert(head.minor == 1 && head.keep_alive && head.expect_continue);
    ck_assert(head.body == HTTP_BODY_LENGTH && head.length == 12);
    ck_assert_uint_eq(head.header_count, 7);
    ck_assert(span_equal(http_header_get(&head, "x-twice"), SPAN("1")));
    ck_assert(span_equal(http_header_get(&head, "x-UTF8"), SPAN("caf\xc3\xa9\tx")));
    ck_assert(http_header_get(&head, "x-empty").data && !http_header_get(&head, "x-empty").len);
    ck_assert_ptr_null(http_header_get(&head, "x-none").data);
    ck_assert_uint_eq(http_header_count(&head, "x-twice"), 2);
    ck_assert_uint_eq(http_header_count(&head, "x-empty"), 1);
    ck_assert_uint_eq(http_header_count(&head, "x-none"), 0);
}
END_TEST

static const struct {
    const char *text;
    const char *target;
    enum http_body body;
    bool keep_alive;
} takings[] = {
    {GET H "\r\n", "/", HTTP_BODY_NONE, true},
    {"\r\n" GET H "\r\n", "/", HTTP_BODY_NONE, true},
    {GET H "Connection: close\r\n\r\n", "/", HTTP_BODY_NONE, false},
    {GET H "Connection: TE , Close\r\n\r\n", "/", HTTP_BODY_NONE, false},
    {GET H "Connection: keep-alive\r\nConnection: close\r\n\r\n", "/", HTTP_BODY_NONE, false},
    {GET H "Connection: closed\r\n\r\n", "/", HTTP_BODY_NONE, true},
    {"GET / HTTP/1.0\r\n\r\n", "/", HTTP_BODY_NONE, false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", HTTP_BODY_NONE, true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/", HTTP_BODY_NONE, false},
    {GET H "Content-Length: 5\r\n\r\n", "/", HTTP_BODY_LENGTH, true},
    {POST "Content-Length: 0\r\n\r\n", "/", HTTP_BODY_LENGTH, true},
    {POST "Content-Length: 9223372036854775807\r\n\r\n", "/", HTTP_BODY_LENGTH, true},
    {POST "Transfer-Encoding: Chunked\r\n\r\n", "/", HTTP_BODY_CHUNKED, true},
    {"GET http://a/b?c HTTP/1.1\r\n" H "\r\n", "/b?c", HTTP_BODY_NONE, true},
    {"GET HTTPS://A/ HTTP/1.1\r\n" H "\r\n", "/", HTTP_BODY_NONE, true},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "*", HTTP_BODY_NONE, true},
    {GET "Host: [::1]:8443\r\n\r\n", "/", HTTP_BODY_NONE, true},
    {GET "Host: [fe80::1.2.3.4]\r\n\r\n", "/", HTTP_BODY_NONE, true},
    {GET "Host: a_b-c.d~:65535\r\n\r\n", "/", HTTP_BODY_NONE, true},
};

START_TEST(a_lawful_request_is_taken)
{
    unsigned status;
    struct err err = {.code = ERR_NONE};
    int64_t n = steady_request(takings[_i].text, &status, &err);

    ck_assert_msg(n == (int64_t)strlen(takings[_i].text), "row %d: %s", _i, err.text);
    ck_assert(span_equal(head.target, span_of(takings[_i].target)));
    ck_assert_int_eq(head.body, takings[_i].body);
    ck_assert_int_eq(head.keep_alive, takings[_i].keep_alive);
}
END_TEST

/* A head of exactly the limit is taken, one byte more is not; so too the number of headers. */
START_TEST(limits_hold_to_the_byte)
{
    char text[600], many[4096];
    struct http_limits wide = {.head_bytes_max = sizeof many, .target_bytes_max = 64};
    unsigned status = 0;
    int n;

    n = snprintf(text, sizeof text, GET H "A: %0*d\r\n\r\n", 512 - 32, 1);
    ck_assert_int_eq(n, 512);
    ck_assert_int_eq(request(span_of(text), &status, NULL), 512);
    snprintf(text, sizeof text, GET H "A: %0*d\r\n\r\n", 512 - 31, 1);
    ck_assert_int_eq(request(span_of(text), &status, NULL), -1);
    ck_assert_uint_eq(status, 431);

    n = snprintf(many, sizeof many, GET H);
    for (int i = 1; i < HTTP_HEADERS_MAX; i++)
        n += snprintf(many + n, sizeof many - (size_t)n, "A%d: b\r\n", i);
    snprintf(many + n, sizeof many - (size_t)n, "\r\n");
    ck_assert_int_gt(http1_request(span_of(many), &wide, &head, &status, NULL), 0);
    ck_assert_uint_eq(head.header_count, HTTP_HEADERS_MAX);
    snprintf(many + n, sizeof many - (size_t)n, "A: b\r\n\r\n");
    ck_assert_int_eq(http1_request(span_of(many), &wide, &head, &status, NULL), -1);
    ck_assert_uint_eq(status, 431);
}
END_TEST

START_TEST(a_refusal_tells_what_was_read_by_then)
{
    unsigned status;

    ck_assert_int_eq(
        request(SPAN("POST /v1/messages HTTP/1.1\r\nHost: a\r\nA : b\r\n"), &status, NULL), -1);
    ck_assert(span_equal(head.method, SPAN("POST")));
    ck_assert(span_equal(head.target, SPAN("/v1/messages")));
    ck_assert_int_eq(request(SPAN("?"), &status, NULL), -1);
    ck_assert(!head.target.data && !head.header_count && !head.keep_alive);
}
END_TEST

START_TEST(a_moved_head_points_into_the_copy)
{
    char text[] = POST "A: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    char *copy = strdup(text);
    unsigned status;

    ck_assert_int_gt(request(span_of(text), &status, NULL), 0);
    http_head_rebase(&head, text, copy);
    memset(text, '?', sizeof text);
    ck_assert(span_equal(head.method, SPAN("POST")) && span_equal(head.target, SPAN("/")));
    ck_assert(span_equal(head.host, SPAN("a")));
    ck_assert(span_equal(http_header_get(&head, "a"), SPAN("b")));
    free(copy);
}
END_TEST

static const struct {
    const char *method, *text;
    unsigned status;
    enum http_body body;
    bool keep_alive;
} replies[] = {
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, HTTP_BODY_LENGTH, true},
    {"GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", 200, HTTP_BODY_LENGTH, true},
    {"GET", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 200, HTTP_BODY_LENGTH, true},
    {"GET", "HTTP/1.1 503 Sorry, caf\xe9\r\nTransfer-Encoding: chunked\r\n\r\n", 503,
     HTTP_BODY_CHUNKED, true},
    {"GET", "HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nExpect: x\r\n\r\n", 200,
     HTTP_BODY_UNTIL_CLOSE, false},
    {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, HTTP_BODY_LENGTH, false},
    {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", 200,
     HTTP_BODY_LENGTH, true},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", 200,
     HTTP_BODY_LENGTH, false},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, HTTP_BODY_NONE, true},
    {"GET", "HTTP/1.1 204 No\r\n\r\n", 204, HTTP_BODY_NONE, true},
    {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, HTTP_BODY_NONE, true},
    {"GET", "HTTP/1.1 100 Continue\r\n\r\n", 100, HTTP_BODY_NONE, true},
};

START_TEST(a_response_is_framed_by_status_method_and_headers)
{
    struct err err = {.code = ERR_NONE};
    struct span whole = span_of(replies[_i].text);

    for (size_t n = 0; n < whole.len; n++)
        ck_assert_int_eq(response(replies[_i].method, (struct span){whole.data, n}, &err), 0);
    ck_assert_msg(response(replies[_i].method, whole, &err) == (int64_t)whole.len, "%s", err.text);
    ck_assert_uint_eq(head.status, replies[_i].status);
    ck_assert_int_eq(head.body, replies[_i].body);
    ck_assert_int_eq(head.keep_alive, replies[_i].keep_alive);
}
END_TEST

static const char *const bad_replies[] = {
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.1 200 OK\n\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "<html>",
};

START_TEST(a_response_as_doubtful_as_a_refused_request_is_a_broken_protocol)
{
    struct err err = {.code = ERR_NONE};

    ck_assert_int_eq(response("GET", span_of(bad_replies[_i]), &err), -1);
    ck_assert_int_eq(err.code, ERR_PROTOCOL);
    ck_assert_uint_gt(strlen(err.text), 0);
}
END_TEST

START_TEST(a_response_head_has_a_limit)
{
    struct err err = {.code = ERR_NONE};

    ck_assert_int_eq(response("GET", SPAN("HTTP/1.1 200 OK\r\nA: " X512 "\r\n\r\n"), &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
}
END_TEST

START_TEST(reasons_are_known_for_what_we_send)
{
    ck_assert_str_eq(http_reason(402), "Payment Required");
    ck_assert_str_eq(http_reason(777), "");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("heads");

    tcase_add_loop_test(c, a_request_that_could_be_understood_in_two_ways_is_refused, 0,
                        ARRAY_LEN(refusals));
    tcase_add_test(c, a_nul_is_refused_wherever_it_stands);
    tcase_add_test(c, a_request_is_taken_apart);
    tcase_add_loop_test(c, a_lawful_request_is_taken, 0, ARRAY_LEN(takings));
    tcase_add_test(c, limits_hold_to_the_byte);
    tcase_add_test(c, a_refusal_tells_what_was_read_by_then);
    tcase_add_test(c, a_moved_head_points_into_the_copy);
    tcase_add_loop_test(c, a_response_is_framed_by_status_method_and_headers, 0,
                        ARRAY_LEN(replies));
    tcase_add_loop_test(c, a_response_as_doubtful_as_a_refused_request_is_a_broken_protocol, 0,
                        ARRAY_LEN(bad_replies));
    tcase_add_test(c, a_response_head_has_a_limit);
    tcase_add_test(c, reasons_are_known_for_what_we_send);
    return run_tests(c, "http1");
}
