/* test_stream.c - streams between two ends on one loop, each test plain and under TLS where both
 * make sense; the calls that write are counted by wrapping them. What needs a peer that misbehaves
 * is in test_stream_peer.c. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "lib/net/write_queue.h"
#include "tests/base/run.h"
#include "tests/net/stream_pair.h"

ssize_t __real_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
int __real_SSL_write_ex(void *ssl, const void *bytes, size_t n, size_t *taken);
int __wrap_SSL_write_ex(void *ssl, const void *bytes, size_t n, size_t *taken);

static unsigned writes;
static struct end client, server;

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
    writes++;
    ck_assert(flags & MSG_NOSIGNAL);
    return __real_send(fd, bytes, n, flags);
}

int __wrap_SSL_write_ex(void *ssl, const void *bytes, size_t n, size_t *taken)
{
    writes++;
    return __real_SSL_write_ex(ssl, bytes, n, taken);
}

static void teardown(void)
{
    pair_free(&client);
    pair_free(&server);
    pair_teardown();
}

/* --- Back-pressure
 * ------------------------------------------------------------------------------- */

#define AMOUNT (10u << 20)
#define PIECE  40000u

static size_t sent, returned, queued_max;

/* The bytes that stand at `at` and behind it in the pattern. */
static void fill(char *out, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((at + i) * 31 + (at + i) / 251);
}

static bool is_pattern(const char *bytes, size_t at, size_t n)
{
    static char expected[1 << 20];

    ck_assert_uint_le(n, sizeof expected);
    fill(expected, at, n);
    return n == 0 || memcmp(bytes, expected, n) == 0;
}

/* Writes pieces until the stream says that it is full. */
static void send_more(struct end *e)
{
    static char piece[PIECE];

    while (sent < AMOUNT && !stream_is_full(e->stream)) {
        size_t n = AMOUNT - sent < PIECE ? AMOUNT - sent : PIECE;

        fill(piece, sent, n);
        pair_write(e, piece, n);
        sent += n;
    }
}

static void note_queued(struct end *e)
{
    size_t queued = (size_t)(stream_offered(e->stream) - stream_taken(e->stream));

    if (queued > queued_max)
        queued_max = queued;
}

/* The echo stops reading while what it has to send back is not taken. */
static void echo(struct end *e, const char *bytes, size_t n)
{
    pair_write(e, bytes, n);
    note_queued(e);
    if (stream_is_full(e->stream))
        stream_pause(e->stream);
}

static void go_on_reading(struct end *e)
{
    ck_assert(!stream_is_full(e->stream));
    stream_resume(e->stream);
}

static void check_returned(struct end *e UNUSED, const char *bytes, size_t n)
{
    ck_assert(is_pattern(bytes, returned, n));
    returned += n;
}

static bool all_returned(void)
{
    return returned == AMOUNT;
}

START_TEST(ten_megabytes_go_each_way_within_the_marks)
{
    client.on_bytes = check_returned;
    client.on_drained = send_more;
    server.on_bytes = echo;
    server.on_drained = go_on_reading;
    pair_open(&client, &server, _i);
    send_more(&client);
    pair_await(all_returned);
    ck_assert_uint_eq(stream_taken(client.stream), AMOUNT);
    ck_assert_uint_eq(stream_offered(server.stream), AMOUNT);
    ck_assert_uint_gt(client.drained, 0);
    /* A turn reads at most 64 KB after the mark was passed. */
    ck_assert_uint_le(queued_max, pair_limits.high + LOOP_SCRATCH);
}
END_TEST

static void ignore(struct end *e UNUSED, const char *bytes UNUSED, size_t n UNUSED)
{
}

/* The client stops reading before anything comes, and everything stands still. */
static uint64_t stall(bool with_tls)
{
    static char block[1 << 16];
    uint64_t taken;

    pair_limits.queue_max = 32 << 20;
    pair_open(&client, &server, with_tls);
    stream_pause(client.stream);
    for (size_t i = 0; i < (24 << 20) / sizeof block; i++)
        pair_write(&server, block, sizeof block);
    do {
        taken = stream_taken(server.stream);
        pair_run_ms(150);
    } while (stream_taken(server.stream) != taken);
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_lt(taken, stream_offered(server.stream));
    return taken;
}

static bool client_is_over(void)
{
    return client.ends || client.failed;
}

START_TEST(what_was_taken_is_exactly_what_the_peer_can_still_read)
{
    uint64_t taken = stall(_i);

    ck_assert_uint_eq(client.got.len, 0);
    pair_free(&server);
    stream_resume(client.stream);
    pair_await(client_is_over);
    ck_assert_uint_eq(client.got.len, taken);
    /* TLS tells that the end is not a clean one; a plain connection cannot. */
    ck_assert_uint_eq(client.failed, _i ? 1 : 0);
}
END_TEST

START_TEST(a_queue_that_would_pass_its_maximum_fails_the_stream_later)
{
    static char block[1 << 16];

    pair_limits.queue_max = 256 << 10;
    pair_open(&client, &server, _i);
    for (int i = 0; i < 5; i++)
        pair_write(&client, block, sizeof block);
    ck_assert_uint_eq(client.failed, 0);
    pair_run_ms(10);
    ck_assert_uint_eq(client.failed, 1);
    ck_assert_int_eq(client.err.code, ERR_LIMIT);
    ck_assert_uint_eq(stream_offered(client.stream), 5 * sizeof block);
    ck_assert_uint_eq(stream_taken(client.stream), 0);
    pair_write(&client, block, 1);
    pair_run_ms(10);
}
END_TEST

/* --- One write a turn
 * ---------------------------------------------------------------------------- */

static void write_in_pieces(struct end *e)
{
    for (char c = 'a'; c <= 'z'; c++)
        for (int i = 0; i < 40; i++)
            pair_write(e, &c, 1);
}

static void answer_in_pieces(struct end *e, const char *bytes UNUSED, size_t n UNUSED)
{
    write_in_pieces(e);
}

static bool pieces_came(void)
{
    return client.got.len == 26 * 40;
}

START_TEST(all_that_a_turn_writes_leaves_in_one_write)
{
    server.on_bytes = answer_in_pieces;
    pair_open(&client, &server, _i);
    for (int round = 1; round <= 3; round++) {
        writes = 0;
        pair_write(&client, "?", 1);
        pair_await(pieces_came);
        ck_assert_uint_eq(writes, 2);
        buf_truncate(&client.got, 0);
    }
    writes = 0;
    pair_run_ms(20);
    ck_assert_uint_eq(writes, 0);
}
END_TEST

START_TEST(what_is_written_before_the_stream_is_open_leaves_once_it_is)
{
    server.on_open = write_in_pieces;
    pair_open(&client, &server, _i);
    pair_await(pieces_came);
}
END_TEST

/* --- The end
 * -------------------------------------------------------------------------------------- */

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
    stream_finish(client.stream);
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
    stream_finish(client.stream);
    client.stream = NULL;
}
END_TEST

START_TEST(a_stream_that_is_given_up_under_tls_ends_in_failure_not_in_eof)
{
    pair_open(&client, &server, true);
    pair_write(&server, "unread", 6);
    pair_run_ms(10);
    pair_free(&server);
    pair_await(client_is_over);
    ck_assert_uint_eq(client.failed, 1);
    ck_assert_int_eq(client.err.code, ERR_CLOSED);
    ck_assert(span_equal(buf_span(&client.got), SPAN("unread")));
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
    pair_await(client_is_over);
    ck_assert(span_equal(buf_span(&client.got), SPAN("unread")));
    ck_assert_uint_eq(client.failed, 1);
}
END_TEST

/* --- Leaving inside a handler
 * --------------------------------------------------------------------- */

static void provoke(struct end *left, struct end *other, enum handler where)
{
    static char block[300000];

    switch (where) {
    case BYTES:
        pair_write(other, block, sizeof block);
        break;
    case END:
        stream_finish(other->stream);
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

static struct end heir;

static void give_away(struct end *e, const char *bytes, size_t n)
{
    buf_add(&e->got, bytes, n);
    heir.opened = 1;
    buf_init(&heir.got, 1000);
    stream_rebind(e->stream, &pair_handlers, &heir);
}

static bool heir_has_bytes(void)
{
    return heir.got.len == 6;
}

START_TEST(handlers_change_hands_inside_a_handler)
{
    server.on_bytes = give_away;
    pair_open(&client, &server, _i);
    pair_write(&client, "first", 5);
    pair_run_ms(10);
    pair_write(&client, "second", 6);
    pair_await(heir_has_bytes);
    ck_assert_str_eq(server.got.data, "first");
    ck_assert_str_eq(heir.got.data, "second");
    buf_clear(&heir.got);
}
END_TEST

/* --- Deadlines
 * ------------------------------------------------------------------------------------ */

static bool client_failed(void)
{
    return client.failed == 1;
}

START_TEST(a_deadline_is_absolute_and_says_what_it_was_for)
{
    int64_t begin;

    pair_open(&client, &server, _i);
    begin = clock_monotonic_ms();
    stream_deadline(client.stream, 5000, "far away");
    stream_deadline(client.stream, 60, "the head took too long");
    while (!client.failed) { /* a byte now and then does not move it */
        pair_write(&server, ".", 1);
        pair_run_ms(5);
    }
    ck_assert_int_ge(clock_monotonic_ms() - begin, 60);
    ck_assert_int_lt(clock_monotonic_ms() - begin, 1000);
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

/* --- Pausing
 * -------------------------------------------------------------------------------------- */

static bool half_a_megabyte_came(void)
{
    return client.got.len == 500000 && client.ends == 1;
}

START_TEST(a_paused_stream_delivers_nothing_and_loses_nothing)
{
    static char block[500000];

    fill(block, 0, sizeof block);
    pair_open(&client, &server, _i);
    stream_pause(client.stream);
    pair_write(&server, block, sizeof block);
    stream_finish(server.stream);
    server.stream = NULL;
    pair_run_ms(50);
    ck_assert_uint_eq(client.got.len, 0);
    ck_assert_uint_eq(client.ends, 0);
    pair_is_inside = true;
    stream_resume(client.stream);
    pair_is_inside = false;
    pair_await(half_a_megabyte_came);
    ck_assert_int_eq(memcmp(client.got.data, block, sizeof block), 0);
}
END_TEST

static void take_a_sip(struct end *e, const char *bytes, size_t n)
{
    buf_add(&e->got, bytes, n);
    stream_pause(e->stream);
}

START_TEST(pausing_in_each_delivery_keeps_the_order)
{
    static char block[500000];

    fill(block, 0, sizeof block);
    client.on_bytes = take_a_sip;
    pair_open(&client, &server, _i);
    pair_write(&server, block, sizeof block);
    stream_finish(server.stream);
    server.stream = NULL;
    while (!client.ends) {
        stream_resume(client.stream);
        pair_run_ms(0);
    }
    ck_assert_uint_eq(client.got.len, sizeof block);
    ck_assert_int_eq(memcmp(client.got.data, block, sizeof block), 0);
}
END_TEST

START_TEST(a_hang_up_with_nothing_before_it_is_seen_while_paused)
{
    pair_open(&client, &server, _i);
    pair_run_ms(10); /* the server's session tickets are read */
    stream_pause(client.stream);
    stream_finish(server.stream);
    server.stream = NULL;
    pair_await(client_is_over);
    ck_assert_uint_eq(client.ends, 1);
}
END_TEST

/* --- Fairness
 * ------------------------------------------------------------------------------------- */

static struct turn_end every_turn;
static size_t of_this_turn, of_any_turn_max;
static unsigned turns;

static void count(struct end *e UNUSED, const char *bytes UNUSED, size_t n)
{
    of_this_turn += n;
    turn_end_schedule(pair_loop, &every_turn);
}

static void end_of_turn(void *arg UNUSED)
{
    turns++;
    if (of_this_turn > of_any_turn_max)
        of_any_turn_max = of_this_turn;
    of_this_turn = 0;
}

START_TEST(a_flood_takes_a_bounded_share_of_each_turn)
{
    static char block[3 << 20];

    every_turn = (struct turn_end){.run = end_of_turn};
    client.on_bytes = count;
    pair_open(&client, &server, _i);
    pair_write(&server, block, sizeof block);
    pair_run_ms(300);
    ck_assert_uint_ge(turns, 3);
    ck_assert_uint_gt(of_any_turn_max, 0);
    ck_assert_uint_le(of_any_turn_max, 4 * LOOP_SCRATCH);
}
END_TEST

/* --- The queue by itself
 * -------------------------------------------------------------------------- */

START_TEST(a_queue_gives_back_what_it_was_given_and_owns_nothing_when_empty)
{
    struct write_queue q;
    size_t in = 0, out = 0;
    struct err err;
    char piece[300];

    write_queue_init(&q, 1000);
    for (int step = 0; step < 20000; step++) {
        size_t n = (size_t)rand_below(sizeof piece + 1), len = write_queue_len(&q);

        ck_assert_uint_eq(len, in - out);
        if (rand_below(2)) {
            fill(piece, in, n);
            ck_assert_int_eq(write_queue_add(&q, piece, n, &err), len + n <= 1000);
            in += len + n <= 1000 ? n : 0;
            continue;
        }
        n = n < len ? n : len;
        ck_assert(n == 0 || is_pattern(write_queue_span(&q).data, out, n));
        write_queue_take(&q, n);
        out += n;
        ck_assert(in != out || q.bytes.data == NULL);
        ck_assert_uint_le(q.bytes.len, 2001);
    }
    ck_assert_uint_gt(out, 100000);
    write_queue_clear(&q);
}
END_TEST

int main(void)
{
    const TTest *const both[] = {
        ten_megabytes_go_each_way_within_the_marks,
        what_was_taken_is_exactly_what_the_peer_can_still_read,
        a_queue_that_would_pass_its_maximum_fails_the_stream_later,
        all_that_a_turn_writes_leaves_in_one_write,
        what_is_written_before_the_stream_is_open_leaves_once_it_is,
        after_finish_every_byte_arrives_and_then_the_end,
        a_finished_stream_is_freed_with_its_loop,
        a_stream_may_be_freed_inside_every_handler,
        a_stream_may_be_finished_inside_every_handler,
        handlers_change_hands_inside_a_handler,
        a_deadline_is_absolute_and_says_what_it_was_for,
        a_deadline_can_be_removed,
        a_paused_stream_delivers_nothing_and_loses_nothing,
        pausing_in_each_delivery_keeps_the_order,
        a_hang_up_with_nothing_before_it_is_seen_while_paused,
        a_flood_takes_a_bounded_share_of_each_turn,
    };
    TCase *all = tcase_create("all");
    int failed;

    pair_make_certificates();
    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, pair_setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        tcase_add_loop_test(all, both[i], 0, 2);
    tcase_add_test(all, a_stream_that_is_given_up_under_tls_ends_in_failure_not_in_eof);
    tcase_add_test(all, a_failure_that_is_an_end_waits_behind_what_was_read_ahead);
    tcase_add_test(all, a_queue_gives_back_what_it_was_given_and_owns_nothing_when_empty);
    failed = run_tests(all, "stream");
    pair_remove_certificates();
    return failed;
}
