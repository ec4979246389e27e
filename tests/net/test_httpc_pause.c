/* test_httpc_pause.c - a call that is paused holds its server back and loses nothing, and one that is cancelled ends
 * once. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/httpc_fixture.h"

START_TEST(while_paused_nothing_is_delivered_and_the_server_waits)
{
    struct httpc_limits limits = usual;
    struct httpc *c;
    struct outcome o = {.act = PAUSE_AT_BYTES};
    size_t n = 32 << 20, sent = 0;
    char *bytes = malloc(n);
    char head[64];

    limits.between_bytes_ms = 2000;
    c = client_with(stub.origin, &limits);
    memset(bytes, 'x', n);
    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    snprintf(head, sizeof head, OK "Content-Length: %zu\r\n\r\n", n);
    peer_say(stub.peers[0], head);
    for (int i = 0; i < 300; i++) {
        ssize_t got = peer_push(stub.peers[0], (struct span){bytes + sent, n - sent});

        sent += got > 0 ? (size_t)got : 0;
        pass_ms(loop, 0);
    }
    pass_ms(loop, limits.between_bytes_ms + 200);
    ck_assert(!o.is_over);
    ck_assert_uint_lt(sent, n);
    ck_assert_uint_gt(o.body.len, 0);
    ck_assert_uint_le(o.body.len, LOOP_SCRATCH);
    o.act = NOTHING;
    httpc_resume(o.call);
    ck_assert_uint_le(o.body.len, LOOP_SCRATCH); /* nothing inside the call */
    while (sent < n) {
        ssize_t got = peer_push(stub.peers[0], (struct span){bytes + sent, n - sent});

        sent += got > 0 ? (size_t)got : 0;
        pass_ms(loop, 0);
    }
    ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
    ck_assert(o.is_ok);
    ck_assert_uint_eq(o.body.len, n);
    buf_clear(&o.body);
    httpc_free(c);
    free(bytes);
}
END_TEST

/* The whole reply, and the connection's end, came while the call was paused at its head or first bytes. */
static const char *const held_replies[] = {
    OK "Content-Length: 6\r\n\r\nab",
    OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\n",
    OK "\r\nab",
};

START_TEST(a_reply_that_ended_while_paused_ends_after_the_pause)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {.act = _i % 2 ? PAUSE_AT_HEAD : PAUSE_AT_BYTES};
    size_t kind = (size_t)_i / 2 % ARRAY_LEN(held_replies), first = strlen(held_replies[kind]);
    bool is_whole = (size_t)_i >= 2 * ARRAY_LEN(held_replies);
    char reply[128];

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    snprintf(reply, sizeof reply, "%s%s", held_replies[kind],
             kind == 1 ? "cdef\r\n0\r\n\r\n" : "cdef");
    peer_send(stub.peers[0], (struct span){reply, is_whole ? strlen(reply) : first});
    pass_turns(loop);
    if (!is_whole)
        peer_say(stub.peers[0], reply + first);
    peer_half_close(stub.peers[0]);
    pass_ms(loop, 50);
    ck_assert(!o.is_over);
    ck_assert_uint_lt(o.body.len, _i % 2 ? 1 : 7);
    o.act = NOTHING;
    httpc_resume(o.call);
    ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
    ck_assert_msg(o.is_ok, "%s", o.err.text);
    ck_assert_str_eq(o.body.data, "abcdef");
    buf_clear(&o.body);
    httpc_free(c);
}
END_TEST

START_TEST(pausing_and_resuming_at_once_changes_nothing)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    httpc_pause(o.call);
    httpc_resume(o.call);
    httpc_pause(o.call);
    pass_ms(loop, 20);
    httpc_resume(o.call);
    answer(stub_peer(0), &o);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

/* Stages: at once, connected, asked, in on_head, in on_bytes, paused. */
START_TEST(a_cancelled_call_ends_once_and_its_connection_at_once)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {.act = _i == 3   ? CANCEL_AT_HEAD
                               : _i == 4 ? CANCEL_AT_BYTES
                               : _i == 5 ? PAUSE_AT_BYTES
                                         : NOTHING};

    begin(&o, c);
    if (_i >= 1)
        stub_await(1);
    if (_i >= 2)
        ck_assert(peer_await(stub.peers[0], "\r\n\r\n"));
    if (_i >= 3)
        peer_say(stub.peers[0], OK "Content-Length: 5\r\n\r\nhel");
    if (_i == 5)
        await_body(&o, "hel");
    if (_i < 3 || _i == 5) {
        httpc_cancel(o.call);
        httpc_cancel(o.call);
        ck_assert(!o.is_over);
    }
    await_over(&o);
    ck_assert(!o.is_ok);
    ck_assert_int_eq(o.err.code, ERR_CANCELLED);
    ck_assert_int_eq(o.was_accepted, _i >= 1);
    if (_i >= 1)
        peer_await_end(stub.peers[0]);
    pass_ms(loop, 20);
    ck_assert_uint_eq(o.ends, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_client_may_be_freed_when_its_last_call_ends)
{
    struct outcome o = {.act = FREE_AT_END};

    begin(&o, client_to(stub.origin));
    answer(stub_peer(0), &o);
    peer_await_end(stub.peers[0]);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("pause");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, while_paused_nothing_is_delivered_and_the_server_waits);
    tcase_add_loop_test(c, a_reply_that_ended_while_paused_ends_after_the_pause, 0,
                        4 * ARRAY_LEN(held_replies));
    tcase_add_test(c, pausing_and_resuming_at_once_changes_nothing);
    tcase_add_loop_test(c, a_cancelled_call_ends_once_and_its_connection_at_once, 0, 6);
    tcase_add_test(c, a_client_may_be_freed_when_its_last_call_ends);
    return run_tests(c, "httpc_pause");
}
