/* test_httpd_refusal.c - what is refused is answered before the connection ends, whatever the client still sends. */
#include <check.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/httpd_fixture.h"

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

int main(void)
{
    TCase *c = tcase_create("refusal");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_loop_test(c, what_is_refused_is_answered_and_ends_cleanly, 0, ARRAY_LEN(refusals));
    tcase_add_test(c, a_head_or_target_over_its_limit_is_refused_before_it_is_whole);
    tcase_add_test(c, an_early_answer_is_not_lost_to_a_body_that_still_comes);
    tcase_add_test(c, a_short_body_that_nobody_wants_is_dropped);
    tcase_add_test(c, a_chunked_body_that_nobody_wants_ends_the_connection);
    tcase_add_test(c, continue_is_said_only_when_the_body_is_wanted);
    return run_tests(c, "httpd_refusal");
}
