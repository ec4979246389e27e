/* test_httpd_drain.c - a server that drains, retires or is freed: what it still answers and what it breaks. */
#include <check.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/base/run.h"
#include "tests/net/httpd_fixture.h"

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
    TCase *c = tcase_create("drain");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, serve, stop);
    tcase_add_test(c, draining_lets_requests_finish_and_nothing_else);
    tcase_add_test(c, a_retiring_server_answers_each_connection_once_more);
    tcase_add_test(c, draining_a_server_without_connections_is_done_at_once);
    tcase_add_test(c, a_server_may_be_freed_when_it_is_idle);
    tcase_add_test(c, freeing_the_server_breaks_what_is_left);
    return run_tests(c, "httpd_drain");
}
