/* test_stream.c - what two ends on one loop say to each other, plain and under TLS: within the marks, in one write a turn,
 * nothing while paused. The calls that write are counted by wrapping them. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/base/run.h"
#include "tests/net/pattern.h"
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

/* --- Back-pressure --- */

#define AMOUNT (10u << 20)
#define PIECE  40000u

static size_t sent, returned, queued_max;

/* Writes pieces until the stream says that it is full. */
static void send_more(struct end *e)
{
    static char piece[PIECE];

    while (sent < AMOUNT && !stream_is_full(e->stream)) {
        size_t n = AMOUNT - sent < PIECE ? AMOUNT - sent : PIECE;

        pattern_fill(piece, sent, n);
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

START_TEST(what_was_taken_is_exactly_what_the_peer_can_still_read)
{
    uint64_t taken = stall(_i);

    ck_assert_uint_eq(client.got.len, 0);
    pair_free(&server);
    stream_resume(client.stream);
    pair_await_over(&client);
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

/* --- One write a turn --- */

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

/* --- Pausing --- */

static bool half_a_megabyte_came(void)
{
    return client.got.len == 500000 && client.ends == 1;
}

START_TEST(a_paused_stream_delivers_nothing_and_loses_nothing)
{
    static char block[500000];

    pattern_fill(block, 0, sizeof block);
    pair_open(&client, &server, _i);
    stream_pause(client.stream);
    pair_write(&server, block, sizeof block);
    stream_finish(server.stream, NULL, NULL);
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

    pattern_fill(block, 0, sizeof block);
    client.on_bytes = take_a_sip;
    pair_open(&client, &server, _i);
    pair_write(&server, block, sizeof block);
    stream_finish(server.stream, NULL, NULL);
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
    stream_finish(server.stream, NULL, NULL);
    server.stream = NULL;
    pair_await_over(&client);
    ck_assert_uint_eq(client.ends, 1);
}
END_TEST

/* --- Fairness --- */

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

int main(void)
{
    const TTest *const both[] = {
        ten_megabytes_go_each_way_within_the_marks,
        what_was_taken_is_exactly_what_the_peer_can_still_read,
        a_queue_that_would_pass_its_maximum_fails_the_stream_later,
        all_that_a_turn_writes_leaves_in_one_write,
        what_is_written_before_the_stream_is_open_leaves_once_it_is,
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
    failed = run_tests(all, "stream");
    pair_remove_certificates();
    return failed;
}
