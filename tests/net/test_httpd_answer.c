/* test_httpd_answer.c - answers in pieces, and clients that read them slowly, not at all, or leave. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/httpd_fixture.h"

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

int main(void)
{
    TCase *c = tcase_create("answer");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_test(c, an_answer_may_be_streamed);
    tcase_add_test(c, a_streamed_answer_to_head_has_no_body);
    tcase_add_test(c, a_broken_answer_is_never_taken_for_whole);
    tcase_add_test(c, an_answer_until_close_ends_with_the_connection);
    tcase_add_test(c, a_slow_reader_is_felt_and_what_it_took_is_never_overstated);
    tcase_add_test(c, a_client_that_stops_reading_is_given_up);
    tcase_add_test(c, a_reset_while_streaming_is_told_at_once);
    tcase_add_test(c, a_half_close_after_the_answer_loses_nothing_of_it);
    return run_tests(c, "httpd_answer");
}
