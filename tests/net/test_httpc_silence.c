/* test_httpc_silence.c - servers that are not there, take no connection, or fall silent: each has its deadline. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/base/run.h"
#include "tests/net/httpc_fixture.h"

static const struct httpc_limits hasty = {
    .connect_ms = 200,
    .first_byte_ms = 300,
    .between_bytes_ms = 200,
    .head = {.head_bytes_max = 1024},
};

START_TEST(a_server_that_is_not_there_is_unavailable)
{
    struct outcome o = {0};
    struct httpc *c;
    char origin[64];

    snprintf(origin, sizeof origin, "%s", stub.origin);
    stub_close();
    c = client_to(origin);
    begin(&o, c);
    await_over(&o);
    ck_assert(!o.is_ok && !o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(o.err.text, origin));
    httpc_free(c);
    stub_open();
}
END_TEST

/* A full queue of connections that nobody accepts drops what comes. */
START_TEST(a_server_that_takes_no_connection_has_a_deadline)
{
    struct outcome o = {0};
    struct httpc *c = client_with(stub.origin, &hasty);
    int fds[8];

    watch_want(stub.watch, false, false);
    ck_assert_int_eq(listen(stub.fd, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], &stub.addr.u.any, stub.addr.len);
    }
    begin(&o, c);
    await_over(&o);
    ck_assert(!o.is_ok && !o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(o.err.text, "did not take the connection within 200 ms"));
    ck_assert_ptr_nonnull(strstr(o.err.text, stub.origin));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    httpc_free(c);
}
END_TEST

static const struct {
    const char *said, *sentence;
} silences[] = {
    {"", "did not begin to reply within 300 ms"},
    {"HTTP/1.1 200 OK\r\nA: ", "did not begin to reply within 300 ms"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "did not begin to reply within 300 ms"},
    {OK "Content-Length: 5\r\n\r\n", "fell silent in its reply for 200 ms"},
    {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello", "fell silent in its reply for 200 ms"},
    {OK "\r\nuntil close", "fell silent in its reply for 200 ms"},
};

START_TEST(silence_has_an_end)
{
    struct httpc *c = client_with(stub.origin, &hasty);
    struct outcome o = {0};
    int64_t begun = clock_monotonic_ms();

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    peer_say(stub.peers[0], silences[_i].said);
    await_over(&o);
    ck_assert_int_ge(clock_monotonic_ms() - begun, hasty.between_bytes_ms);
    ck_assert(!o.is_ok && o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_TIMEOUT);
    ck_assert_msg(strstr(o.err.text, silences[_i].sentence), "%s", o.err.text);
    ck_assert_ptr_nonnull(strstr(o.err.text, stub.origin));
    peer_await_end(stub.peers[0]);
    httpc_free(c);
}
END_TEST

START_TEST(a_reply_may_take_long_while_bytes_come)
{
    struct httpc_limits limits = usual;
    struct outcome o = {0};
    struct httpc *c;

    limits.between_bytes_ms = 2000;
    c = client_with(stub.origin, &limits);

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    peer_say(stub.peers[0], OK "Content-Length: 10\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        pass_ms(loop, 250);
        peer_say(stub.peers[0], "x");
    }
    await_over(&o);
    ck_assert_msg(o.is_ok, "%s", o.err.text);
    httpc_free(c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("silence");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_server_that_is_not_there_is_unavailable);
    tcase_add_test(c, a_server_that_takes_no_connection_has_a_deadline);
    tcase_add_loop_test(c, silence_has_an_end, 0, ARRAY_LEN(silences));
    tcase_add_test(c, a_reply_may_take_long_while_bytes_come);
    return run_tests(c, "httpc_silence");
}
