/* test_stream_end.c - how a stream ends: finished, given up, by its deadline, or by its own handler. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/base/run.h"
#include "tests/net/stream_pair.h"

static struct end client, server;

static void teardown(void)
{
    pair_free(&client);
    pair_free(&server);
    pair_teardown();
}

/* --- The end --- */

static bool server_saw_end(void)
{
    return server.ends == 1;
}

START_TEST(after_finish_every_byte_arrives_and_then_the_end)
{
    static char block[300000];

    memset(block, 'x', sizeof block);
    pair_open(&client, &server, _i);
    pair_write(&client, block, sizeof block);
    pair_write(&client, "last", 4);
    stream_finish(client.stream, NULL, NULL);
    client.stream = NULL;
    client.is_gone = true;
    pair_await(server_saw_end);
    ck_assert_uint_eq(server.got.len, sizeof block + 4);
    ck_assert_str_eq(server.got.data + sizeof block, "last");
    ck_assert_uint_eq(server.failed, 0);
}
END_TEST

START_TEST(a_finished_stream_is_freed_with_its_loop)
{
    pair_open(&client, &server, _i);
    pair_write(&client, "x", 1);
    stream_finish(client.stream, NULL, NULL);
    client.stream = NULL;
}
END_TEST

START_TEST(a_stream_that_is_given_up_under_tls_ends_in_failure_not_in_eof)
{
    pair_open(&client, &server, true);
    pair_write(&server, "unread", 6);
    pair_run_ms(10);
    pair_free(&server);
    pair_await_over(&client);
    ck_assert_uint_eq(client.failed, 1);
    ck_assert_int_eq(client.err.code, ERR_CLOSED);
    ck_assert(span_equal(buf_span(&client.got), SPAN("unread")));
}
END_TEST

static bool client_saw_end(void)
{
    return client.ends == 1;
}

static bool client_failed(void)
{
    return client.failed == 1;
}

START_TEST(a_reset_behind_the_end_is_told_to_who_waits_for_it)
{
    int raw = pair_raw_server(&client, false);

    pair_write(&client, "unread", 6);
    shutdown(raw, SHUT_WR);
    pair_await(client_saw_end);
    stream_await_reset(client.stream);
    pair_run_ms(10);
    ck_assert_uint_eq(client.failed, 0);
    close(raw);
    pair_await(client_failed);
    ck_assert_int_eq(client.err.code, ERR_CLOSED);
    ck_assert_int_ne(client.err.sys, 0);
    ck_assert_uint_eq(client.ends, 1);
}
END_TEST

START_TEST(a_failure_that_is_an_end_waits_behind_what_was_read_ahead)
{
    pair_open(&client, &server, true);
    pair_run_ms(10);
    stream_pause(client.stream);
    pair_write(&server, "unread", 6);
    pair_run_ms(10);
    pair_free(&server);
    pair_run_ms(30);
    ck_assert_uint_eq(client.failed, 0);
    stream_resume(client.stream);
    pair_await_over(&client);
    ck_assert(span_equal(buf_span(&client.got), SPAN("unread")));
    ck_assert_uint_eq(client.failed, 1);
}
END_TEST

/* --- Leaving inside a handler --- */

static void ignore(struct end *e UNUSED, const char *bytes UNUSED, size_t n UNUSED)
{
}

static void provoke(struct end *left, struct end *other, enum handler where)
{
    static char block[300000];

    switch (where) {
    case BYTES:
        pair_write(other, block, sizeof block);
        break;
    case END:
        stream_finish(other->stream, NULL, NULL);
        other->stream = NULL;
        other->is_gone = true;
        break;
    case DRAINED:
        other->on_bytes = ignore;
        pair_write(left, block, sizeof block);
        break;
    case FAILED:
        stream_deadline(left->stream, 5, "too late");
        break;
    default:
        break;
    }
}

static bool is_left(void)
{
    return client.is_gone;
}

static void leave_in_each_handler(bool with_tls, bool finishes)
{
    for (enum handler where = OPEN; where < HANDLERS; where++) {
        client = (struct end){.leaves_in = where, .finishes = finishes};
        server = (struct end){.on_bytes = ignore};
        pair_open(&client, &server, with_tls);
        provoke(&client, &server, where);
        pair_await(is_left);
        pair_run_ms(20);
        pair_free(&server);
        pair_free(&client);
    }
}

START_TEST(a_stream_may_be_freed_inside_every_handler)
{
    leave_in_each_handler(_i, false);
}
END_TEST

START_TEST(a_stream_may_be_finished_inside_every_handler)
{
    leave_in_each_handler(_i, true);
}
END_TEST

/* --- Deadlines --- */

START_TEST(a_deadline_is_absolute_and_says_what_it_was_for)
{
    int64_t begin;

    pair_open(&client, &server, _i);
    begin = clock_monotonic_ms();
    stream_deadline(client.stream, 600000, "far away");
    stream_deadline(client.stream, 60, "the head took too long");
    while (!client.failed) { /* a byte now and then does not move it */
        pair_write(&server, ".", 1);
        pair_run_ms(5);
    }
    ck_assert_int_ge(clock_monotonic_ms() - begin, 60);
    ck_assert_int_eq(client.err.code, ERR_TIMEOUT);
    ck_assert_str_eq(client.err.text, "the head took too long");
}
END_TEST

START_TEST(a_deadline_can_be_removed)
{
    pair_open(&client, &server, _i);
    stream_deadline(client.stream, 20, "too late");
    stream_deadline(client.stream, 0, NULL);
    pair_run_ms(60);
    ck_assert_uint_eq(client.failed, 0);
    stream_deadline(client.stream, 20, "too late");
    pair_await(client_failed);
}
END_TEST

int main(void)
{
    const TTest *const both[] = {
        after_finish_every_byte_arrives_and_then_the_end,
        a_finished_stream_is_freed_with_its_loop,
        a_stream_may_be_freed_inside_every_handler,
        a_stream_may_be_finished_inside_every_handler,
        a_deadline_is_absolute_and_says_what_it_was_for,
        a_deadline_can_be_removed,
    };
    TCase *all = tcase_create("all");
    int failed;

    pair_make_certificates();
    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, pair_setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        tcase_add_loop_test(all, both[i], 0, 2);
    tcase_add_test(all, a_stream_that_is_given_up_under_tls_ends_in_failure_not_in_eof);
    tcase_add_test(all, a_reset_behind_the_end_is_told_to_who_waits_for_it);
    tcase_add_test(all, a_failure_that_is_an_end_waits_behind_what_was_read_ahead);
    failed = run_tests(all, "stream_end");
    pair_remove_certificates();
    return failed;
}
