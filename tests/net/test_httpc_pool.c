/* test_httpc_pool.c - connections that are used again, and when a request that met a closing one may be sent again. */
#include <check.h>

#include "tests/base/run.h"
#include "tests/net/httpc_fixture.h"

START_TEST(the_connection_put_back_last_is_taken_first)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome a = {0}, b = {0}, again = {0};

    begin(&a, c);
    begin(&b, c);
    stub_await(2);
    answer(stub.peers[1], &b);
    answer(stub.peers[0], &a);
    for (int i = 0; i < 3; i++) {
        begin(&again, c);
        answer(stub.peers[0], &again);
    }
    ck_assert_uint_eq(stub.count, 2);
    ck_assert_str_eq(peer_text(stub.peers[1]), "");
    httpc_free(c);
    peer_await_end(stub.peers[0]);
    peer_await_end(stub.peers[1]);
}
END_TEST

static void say_unasked(struct peer *p)
{
    peer_say(p, "HTTP/1.1 408 Request Timeout\r\n\r\n");
}

static void (*const spoilings[])(struct peer *) = {peer_free, peer_reset, peer_half_close,
                                                   say_unasked};

START_TEST(an_idle_connection_that_ends_or_speaks_is_dropped)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    spoilings[_i](stub.peers[0]);
    pass_ms(loop, 20);
    if (_i < 2)
        stub.peers[0] = NULL;
    else
        peer_await_end(stub.peers[0]);
    begin(&o, c);
    answer(stub_peer(1), &o);
    httpc_free(c);
}
END_TEST

START_TEST(an_idle_connection_is_not_kept_for_ever)
{
    struct httpc_limits limits = usual;
    struct outcome o = {0}, more[3] = {{0}};
    struct httpc *c;

    limits.idle_ms = 50;
    limits.idle_max = 2;
    c = httpc_new(loop, &(struct httpc_origin){.url = stub.origin}, &limits, &(struct err){0});
    begin(&o, c);
    answer(stub_peer(0), &o);
    pass_ms(loop, 30);
    ck_assert(!stub.peers[0]->is_ended);
    peer_await_end(stub.peers[0]);

    for (size_t i = 0; i < 3; i++)
        begin(&more[i], c);
    stub_await(4);
    for (size_t i = 0; i < 3; i++)
        answer(stub.peers[1 + i], &more[i]);
    pass_turns(loop);
    ck_assert(stub.peers[3]->is_ended && !stub.peers[1]->is_ended && !stub.peers[2]->is_ended);
    httpc_free(c);
}
END_TEST

/* The server closes an idle connection while a request is on its way: we have sent, it has not read. */
START_TEST(a_request_that_met_a_closing_connection_is_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    if (_i == 0)
        stub_drop(0, peer_reset);
    else
        stub_drop(0, peer_free); /* FIN first; the reset follows when our bytes arrive */
    ck_assert(peer_await(stub_peer(1), "\r\n\r\nonce"));
    ck_assert_uint_eq(count_of(peer_text(stub.peers[1]), "POST"), 1);
    answer(stub.peers[1], &o);
    ck_assert_uint_eq(stub.count, 2);
    httpc_free(c);
}
END_TEST

/* A busy server needs a while from its last answer to the end of the connection, and from the end to closing it. */
START_TEST(a_request_that_lay_unread_is_sent_again_however_late_the_server_closes)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    watch_want(stub.peers[0]->watch, false, false);
    begin_with(&o, c, "POST", SPAN("once"));
    pass_ms(loop, 600);
    peer_half_close(stub.peers[0]);
    pass_ms(loop, 50);
    stub_drop(0, peer_free);
    ck_assert(peer_await(stub_peer(1), "\r\n\r\nonce"));
    answer(stub.peers[1], &o);
    ck_assert_uint_eq(stub.count, 2);
    httpc_free(c);
}
END_TEST

#define CHUNKS OK "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

static void answer_in_chunks(struct peer *p, struct outcome *o)
{
    ck_assert(peer_await(p, "\r\n\r\n"));
    peer_forget(p);
    peer_say(p, CHUNKS);
    await_over(o);
    ck_assert(o->is_ok);
}

/* As llama.cpp's server does; the request that met such an end is lost, and no other is. */
START_TEST(where_a_server_ends_connections_after_streams_they_rest_before_they_are_used_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer_in_chunks(stub_peer(0), &o);
    begin(&o, c);
    if (_i == 0) {
        answer_in_chunks(stub.peers[0], &o);
        stub_drop(0, peer_free);
        pass_ms(loop, 20);
    } else {
        ck_assert(peer_await(stub.peers[0], "\r\n\r\n"));
        stub_drop(0, peer_free);
        await_over(&o);
        ck_assert(!o.is_ok);
    }
    begin(&o, c);
    answer_in_chunks(stub_peer(1), &o);
    for (int i = 0; i < 2; i++) {
        begin(&o, c);
        answer(stub_peer(2), &o);
    }
    ck_assert_uint_eq(stub.count, 3);
    ck_assert(!stub.peers[1]->is_ended);
    httpc_free(c);
}
END_TEST

START_TEST(a_connection_that_outlives_its_rest_ends_that_of_the_others)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0}, more[2] = {{0}};

    begin(&o, c);
    answer_in_chunks(stub_peer(0), &o);
    stub_drop(0, peer_free);
    pass_ms(loop, 20);
    begin(&o, c);
    answer_in_chunks(stub_peer(1), &o);
    pass_ms(loop, 2100);
    begin(&more[0], c);
    begin(&more[1], c);
    answer_in_chunks(stub.peers[1], &more[0]);
    answer_in_chunks(stub_peer(2), &more[1]);
    begin(&o, c);
    answer_in_chunks(stub.peers[2], &o);
    ck_assert_uint_eq(stub.count, 3);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_that_was_read_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    ck_assert(peer_await(stub.peers[0], "once"));
    stub_drop(0, peer_free);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_CLOSED);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

/* A server that dies over its work resets as well: it may have done it, so it is not asked twice. */
START_TEST(a_request_whose_connection_is_reset_later_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    pass_ms(loop, 600);
    stub_drop(0, _i == 0 ? peer_reset : peer_free);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_on_a_new_connection_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    stub_await(1);
    stub_drop(0, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok);
    ck_assert_int_eq(o.err.code, ERR_CLOSED);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_is_sent_again_only_once)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin(&o, c);
    stub_drop(0, peer_reset);
    stub_await(2);
    stub_drop(1, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 2);
    httpc_free(c);
}
END_TEST

START_TEST(after_one_byte_of_a_reply_nothing_is_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin(&o, c);
    peer_say(stub.peers[0], "H");
    pass_turns(loop);
    stub_drop(0, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("pool");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, the_connection_put_back_last_is_taken_first);
    tcase_add_loop_test(c, an_idle_connection_that_ends_or_speaks_is_dropped, 0,
                        ARRAY_LEN(spoilings));
    tcase_add_test(c, an_idle_connection_is_not_kept_for_ever);
    tcase_add_loop_test(c, a_request_that_met_a_closing_connection_is_sent_again, 0, 2);
    tcase_add_test(c, a_request_that_lay_unread_is_sent_again_however_late_the_server_closes);
    tcase_add_loop_test(
        c, where_a_server_ends_connections_after_streams_they_rest_before_they_are_used_again, 0,
        2);
    tcase_add_test(c, a_connection_that_outlives_its_rest_ends_that_of_the_others);
    tcase_add_test(c, a_request_that_was_read_is_never_sent_again);
    tcase_add_loop_test(c, a_request_whose_connection_is_reset_later_is_never_sent_again, 0, 2);
    tcase_add_test(c, a_request_on_a_new_connection_is_never_sent_again);
    tcase_add_test(c, a_request_is_sent_again_only_once);
    tcase_add_test(c, after_one_byte_of_a_reply_nothing_is_sent_again);
    return run_tests(c, "httpc_pool");
}
