/* test_stream_peer.c - streams whose peer is a raw socket: it half-closes, resets, stops reading,
 * talks nonsense. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/base/run.h"
#include "tests/net/stream_pair.h"

static struct end end;
static int peer = -1;

static void teardown(void)
{
    pair_free(&end);
    if (peer >= 0)
        close(peer);
    pair_teardown();
}

static void reset_by_peer(void)
{
    struct linger now = {.l_onoff = 1};

    ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(peer);
    peer = -1;
}

static void peer_says(const char *text)
{
    ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What the peer can read within `ms`, until the stream's end; -1: a reset. */
static ssize_t peer_reads(size_t size, int ms)
{
    static char bytes[1 << 16];
    size_t total = 0;

    while (total < size) {
        struct pollfd wait = {.fd = peer, .events = POLLIN};
        ssize_t n;

        pair_run_ms(0);
        if (poll(&wait, 1, ms) == 0)
            break;
        n = recv(peer, bytes, sizeof bytes, 0);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        total += (size_t)n;
    }
    return (ssize_t)total;
}

static bool has_ended(void)
{
    return end.ends == 1;
}

static bool has_failed(void)
{
    return end.failed == 1;
}

static bool is_open(void)
{
    return end.opened == 1;
}

START_TEST(a_peer_that_half_closes_still_gets_its_answer)
{
    peer = pair_raw(&end, false);
    peer_says("question");
    shutdown(peer, SHUT_WR);
    pair_await(has_ended);
    ck_assert_str_eq(end.got.data, "question");
    pair_write(&end, "answer", 6);
    pair_run_ms(10);
    ck_assert_int_eq(peer_reads(6, 1000), 6);
    ck_assert_uint_eq(end.failed, 0);
}
END_TEST

START_TEST(a_reset_is_told_as_closed)
{
    peer = pair_raw(&end, false);
    pair_await(is_open);
    reset_by_peer();
    pair_await(has_failed);
    ck_assert_int_eq(end.err.code, ERR_CLOSED);
    ck_assert_int_eq(end.err.sys, ECONNRESET);
    ck_assert_uint_eq(end.ends, 0);
}
END_TEST

START_TEST(a_reset_is_told_while_paused)
{
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says("kept");
    pair_run_ms(10);
    reset_by_peer();
    pair_await(has_failed);
    ck_assert_int_eq(end.err.code, ERR_CLOSED);
}
END_TEST

static int64_t cpu_ms(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

START_TEST(a_reset_is_told_behind_more_than_is_read_ahead_and_nothing_spins)
{
    static char much[60000];
    int64_t before;

    memset(much, 'm', sizeof much - 1);
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says(much);
    pair_run_ms(20);
    before = cpu_ms();
    pair_run_ms(300);
    ck_assert_int_lt(cpu_ms() - before, 100);
    ck_assert_uint_eq(end.failed, 0);
    reset_by_peer();
    pair_await(has_failed);
    ck_assert_int_eq(end.err.code, ERR_CLOSED);
    before = cpu_ms();
    pair_run_ms(300);
    ck_assert_int_lt(cpu_ms() - before, 100);
}
END_TEST

START_TEST(a_half_close_behind_more_than_is_read_ahead_loses_nothing_and_nothing_spins)
{
    static char much[60000];
    int64_t before;

    memset(much, 'm', sizeof much - 1);
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says(much);
    shutdown(peer, SHUT_WR);
    pair_run_ms(20);
    before = cpu_ms();
    pair_run_ms(300);
    ck_assert_int_lt(cpu_ms() - before, 100);
    ck_assert_uint_eq(end.ends, 0);
    stream_resume(end.stream);
    pair_await(has_ended);
    ck_assert_uint_eq(end.got.len, sizeof much - 1);
}
END_TEST

START_TEST(a_short_message_and_the_end_behind_it_wait_in_order)
{
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says("kept");
    shutdown(peer, SHUT_WR);
    pair_run_ms(30);
    ck_assert_uint_eq(end.ends, 0);
    stream_resume(end.stream);
    pair_await(has_ended);
    ck_assert_str_eq(end.got.data, "kept");
}
END_TEST

static struct turn_end late_work;

static void block_writing(void *arg UNUSED)
{
    static char block[16 << 20];

    pair_write(&end, block, sizeof block);
}

static bool has_bytes(void)
{
    return end.got.len > 0;
}

/* The peer reads nothing, so no event of the kernel's will come; what resuming wanted must survive
 * the change of interest. */
START_TEST(what_was_read_ahead_is_delivered_though_writing_blocks_in_the_same_turn)
{
    pair_limits.queue_max = 16 << 20;
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says("kept");
    pair_run_ms(20);
    stream_resume(end.stream);
    late_work = (struct turn_end){.run = block_writing};
    turn_end_schedule(pair_loop, &late_work);
    pair_await(has_bytes);
    ck_assert_str_eq(end.got.data, "kept");
}
END_TEST

/* Its answer is read although our own writing broke on its reset. */
START_TEST(what_a_peer_said_before_it_refused_the_rest_is_heard)
{
    static char body[16 << 20];

    pair_limits.queue_max = sizeof body;
    peer = pair_raw(&end, false);
    pair_await(is_open);
    pair_write(&end, body, sizeof body);
    pair_run_ms(50);
    ck_assert_uint_lt(stream_taken(end.stream), sizeof body);
    peer_says("413");
    close(peer); /* with bytes unread: a reset */
    peer = -1;
    pair_await(has_failed);
    ck_assert_str_eq(end.got.data, "413");
    ck_assert_int_eq(end.err.code, ERR_CLOSED);
}
END_TEST

START_TEST(what_was_taken_is_what_a_peer_that_stopped_reading_has)
{
    static char block[1 << 20];
    uint64_t taken;
    ssize_t got = 0;

    peer = pair_raw(&end, false);
    pair_await(is_open);
    for (int i = 0; i < 4; i++)
        pair_write(&end, block, sizeof block);
    pair_run_ms(50);
    for (int i = 0; i < 3; i++) { /* it reads a little, in between */
        got += peer_reads(1, 100);
        pair_run_ms(20);
    }
    taken = stream_taken(end.stream);
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_eq(stream_offered(end.stream), sizeof block * 4);
    pair_free(&end);
    got += peer_reads(SIZE_MAX, 200);
    ck_assert_uint_eq((uint64_t)got, taken);
}
END_TEST

START_TEST(the_last_bytes_outrun_what_the_peer_still_sends)
{
    static char reply[200000], late[100000];
    ssize_t n;

    memset(late, 'l', sizeof late - 1);
    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_pause(end.stream);
    peer_says(late);
    pair_write(&end, reply, sizeof reply);
    stream_finish(end.stream, NULL, NULL);
    end.stream = NULL;
    end.is_gone = true;
    n = peer_reads(1, 1000);
    peer_says(late);
    n += peer_reads(SIZE_MAX, 1000);
    ck_assert_int_eq(n, sizeof reply);
}
END_TEST

START_TEST(a_peer_that_never_closes_is_left_after_two_seconds)
{
    int64_t begin = clock_monotonic_ms();

    peer = pair_raw(&end, false);
    pair_await(is_open);
    stream_finish(end.stream, NULL, NULL);
    end.stream = NULL;
    ck_assert_int_eq(peer_reads(1, 1000), 0);
    while (send(peer, "x", 1, MSG_NOSIGNAL) == 1)
        pair_run_ms(20);
    ck_assert_int_ge(clock_monotonic_ms() - begin, 2000);
}
END_TEST

/* --- TLS
 * ------------------------------------------------------------------------------------------ */

START_TEST(garbage_instead_of_a_handshake_fails_on_either_side)
{
    if (_i)
        peer = pair_raw(&end, true);
    else
        peer = pair_raw_server(&end, true);
    peer_says("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pair_await(has_failed);
    ck_assert_uint_eq(end.opened, 0);
    ck_assert_int_eq(end.err.code, ERR_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(end.err.text, "TLS"));
}
END_TEST

START_TEST(a_peer_that_leaves_during_the_handshake_is_told_as_closed)
{
    if (_i)
        peer = pair_raw(&end, true);
    else
        peer = pair_raw_server(&end, true);
    pair_run_ms(5);
    shutdown(peer, SHUT_RDWR);
    close(peer);
    peer = -1;
    pair_await(has_failed);
    ck_assert_uint_eq(end.opened, 0);
    ck_assert_int_eq(end.err.code, ERR_CLOSED);
}
END_TEST

START_TEST(a_handshake_that_never_comes_ends_with_its_deadline)
{
    peer = pair_raw(&end, true);
    stream_deadline(end.stream, 30, "the TLS handshake took too long");
    pair_await(has_failed);
    ck_assert_int_eq(end.err.code, ERR_TIMEOUT);
    ck_assert_str_eq(end.err.text, "the TLS handshake took too long");
}
END_TEST

START_TEST(finishing_before_the_handshake_just_closes)
{
    peer = pair_raw(&end, true);
    pair_run_ms(5);
    pair_write(&end, "never", 5);
    stream_finish(end.stream, NULL, NULL);
    end.stream = NULL;
    ck_assert_int_eq(peer_reads(1, 1000), 0);
}
END_TEST

#define RECORD          16000
#define RECORD_OVERHEAD (5 + 1 + 16) /* of TLS 1.3: header, content type, tag */
#define RECORDS         17 /* just more than a turn reads, which ends inside the last one */

/* Appends what comes at `fd` until there are `n` bytes. */
static void collect(int fd, struct buf *to, size_t n)
{
    static char bytes[65536];

    do {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got > 0)
            buf_add(to, bytes, (size_t)got);
        pair_run_ms(0);
    } while (to->len < n);
}

static void deliver(struct buf *bytes, int fd)
{
    ck_assert_int_eq(send(fd, bytes->data, bytes->len, MSG_DONTWAIT | MSG_NOSIGNAL),
                     (ssize_t)bytes->len);
    buf_truncate(bytes, 0);
}

static void carry(int from, int to, struct buf *bytes)
{
    collect(from, bytes, 0);
    if (bytes->len)
        deliver(bytes, to);
}

static struct end far_end;

static bool far_end_has_all(void)
{
    return far_end.got.len == RECORDS * RECORD;
}

/* All records lie in the socket's buffer before the first is read. One turn reads them all from
 * there and hands over all but a part of the last: that is inside OpenSSL, and no event of the
 * kernel's will announce it. */
START_TEST(no_byte_stays_inside_tls)
{
    static char record[RECORD];
    int wires[2], size = 1 << 20;
    AUTO_CLEAR(buf) bytes;

    buf_init(&bytes, 1 << 20);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, wires), 0);
    setsockopt(wires[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    peer = pair_raw_server(&end, true);
    buf_init(&far_end.got, RECORDS * RECORD);
    far_end.stream =
        stream_accepted(pair_loop, wires[0], pair_server_tls,
                        &(struct stream_owner){&pair_limits, &pair_handlers, &far_end});
    while (!end.opened || !far_end.opened) {
        carry(peer, wires[1], &bytes);
        carry(wires[1], peer, &bytes);
    }
    carry(wires[1], peer, &bytes);
    for (size_t i = 1; i <= RECORDS; i++) {
        pair_write(&end, record, sizeof record);
        collect(peer, &bytes, i * (RECORD + RECORD_OVERHEAD));
    }
    deliver(&bytes, wires[1]);
    pair_await(far_end_has_all);
    pair_free(&far_end);
    close(wires[1]);
}
END_TEST

/* --- Connecting
 * ----------------------------------------------------------------------------------- */

START_TEST(a_refused_connection_names_the_address)
{
    const struct stream_owner owner = {&pair_limits, &pair_handlers, &end};
    struct stream_peer nobody = {.tls = NULL};
    struct err err = {.code = ERR_NONE};
    struct stream *s;
    int fd;

    ck_assert(addr_parse("127.0.0.1:0", &nobody.addr, &err));
    fd = addr_listen(&nobody.addr, &nobody.addr, &err);
    close(fd);
    s = stream_connect(pair_loop, &nobody, &owner, &err);
    ck_assert_ptr_nonnull(s);
    pair_await(has_failed);
    ck_assert_int_eq(end.err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(end.err.text, "127.0.0.1:"));
    stream_free(s);

    ck_assert(addr_parse("unix:/no/such/socket", &nobody.addr, &err));
    s = stream_connect(pair_loop, &nobody, &owner, &err);
    ck_assert_ptr_null(s);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/socket"));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_peer_that_half_closes_still_gets_its_answer,
        a_reset_is_told_as_closed,
        a_reset_is_told_while_paused,
        a_reset_is_told_behind_more_than_is_read_ahead_and_nothing_spins,
        a_half_close_behind_more_than_is_read_ahead_loses_nothing_and_nothing_spins,
        a_short_message_and_the_end_behind_it_wait_in_order,
        what_was_read_ahead_is_delivered_though_writing_blocks_in_the_same_turn,
        what_a_peer_said_before_it_refused_the_rest_is_heard,
        what_was_taken_is_what_a_peer_that_stopped_reading_has,
        the_last_bytes_outrun_what_the_peer_still_sends,
        a_peer_that_never_closes_is_left_after_two_seconds,
        a_handshake_that_never_comes_ends_with_its_deadline,
        finishing_before_the_handshake_just_closes,
        no_byte_stays_inside_tls,
        a_refused_connection_names_the_address,
    };
    TCase *all = tcase_create("all");
    int failed;

    pair_make_certificates();
    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, pair_setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    tcase_add_loop_test(all, garbage_instead_of_a_handshake_fails_on_either_side, 0, 2);
    tcase_add_loop_test(all, a_peer_that_leaves_during_the_handshake_is_told_as_closed, 0, 2);
    failed = run_tests(all, "stream_peer");
    pair_remove_certificates();
    return failed;
}
