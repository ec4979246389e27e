/* test_httpd_limits.c - clients that stall, come slowly or never read are given up, and more of them than the server or
 * the system may have do no harm. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/base/run.h"
#include "tests/net/httpd_fixture.h"

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
    for (int i = 0; i < 6000 && !p->is_ended; i++) {
        peer_push(p, SPAN("x"));
        pass_ms(loop, 10);
    }
    ck_assert(p->is_ended);
    peer_free(p);
}
END_TEST

/* The grace is 500 ms here, and 1000 bytes earn 50 ms more. */
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
        pass_ms(loop, 75);
    }
    ck_assert(peer_await(steady, "HTTP/1.1 200"));
    ck_assert(slow->is_ended);
    peer_free(slow);
    peer_free(steady);
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

/* Fast enough a rate that 20 MB are due at once after the grace of 500 ms. */
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

int main(void)
{
    Suite *suite = suite_create("httpd_limits");
    TCase *c = tcase_create("served"), *own = tcase_create("with its own server");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_loop_test(c, who_stalls_is_given_up, 0, ARRAY_LEN(stalls));
    tcase_add_test(c, a_head_has_an_absolute_end_though_bytes_keep_coming);
    tcase_add_test(c, a_body_may_take_as_long_as_its_rate_earns);
    tcase_add_test(c, running_out_of_descriptors_is_survived);
    tcase_add_test(own, more_connections_than_allowed_wait);
    tcase_add_test(own, a_client_that_asks_on_and_on_and_never_reads_is_given_up);
    suite_add_tcase(suite, c);
    suite_add_tcase(suite, own);
    return run_suite(suite);
}
