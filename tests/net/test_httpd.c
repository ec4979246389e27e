/* test_httpd.c - requests are read however they are cut and answered in order, and the connection ends when that was
 * agreed, or the client leaves. */
#include <check.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/httpd_fixture.h"

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

int main(void)
{
    TCase *c = tcase_create("served");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_test(c, a_connection_serves_request_after_request);
    tcase_add_loop_test(c, a_request_may_be_cut_anywhere, 0, ARRAY_LEN(exchanges));
    tcase_add_test(c, pipelined_requests_are_answered_in_order);
    tcase_add_test(c, a_pipelined_request_waits_until_the_one_before_is_answered);
    tcase_add_test(c, a_flood_behind_a_waiting_request_is_not_read);
    tcase_add_loop_test(c, the_connection_ends_when_it_was_agreed, 0, ARRAY_LEN(manners));
    tcase_add_test(c, no_content_has_no_length);
    tcase_add_test(c, a_field_can_not_smuggle_a_line);
    tcase_add_loop_test(c, a_client_may_hang_up_after_any_byte, 0, 3);
    return run_tests(c, "httpd");
}
