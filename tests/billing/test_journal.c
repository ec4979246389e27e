/* test_journal.c - the live journal: what it promises to the loop that writes to it and reads its tail, with its thread and
 * without. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/journal_fixture.h"

static struct journal_fixture f;

static void set_up(void)
{
    fixture_open(&f);
}

static void tear_down(void)
{
    fixture_clear(&f);
}

/* So that much can be queued at once. */
static struct journal *with_larger_segments(void)
{
    f.config.segment_bytes = 4 * FIXTURE_SEGMENT;
    return fixture_journal(&f);
}

START_TEST(an_end_is_on_disk_when_its_caller_is_told)
{
    struct journal *j = fixture_journal(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    size_t durable = 0;

    for (unsigned i = 0; i < 100; i++) {
        fixture_call(j, i, fixture_count, &durable);
        fixture_wait(&f, j, &durable, i + 1);
        fixture_read(dir, &lines);
        ck_assert_uint_eq(fixture_ends(&lines, i), 1);
        ck_assert_uint_eq(lines.count, i + 1);
        fixture_lines_clear(&lines);
    }
    journal_free(j);
}
END_TEST

/* As it would be found had the process been killed just then. */
static size_t calls_that_a_successor_ends(const char *dir, unsigned i)
{
    AUTO_STRING after = path_join(f.top, "after");
    struct fixture_lines lines;
    struct journal *successor;
    struct err err;
    size_t count;

    fixture_copy(dir, after);
    successor = journal_open_dir(&f.config, after, &err);
    ck_assert_msg(successor, "%s", err.text);
    journal_free(successor);
    fixture_read(after, &lines);
    ck_assert_uint_eq(fixture_ends(&lines, i), 1);
    count = lines.count;
    fixture_lines_clear(&lines);
    fixture_remove(after);
    return count;
}

START_TEST(a_begin_is_on_disk_when_its_caller_is_told_though_nothing_is_synced)
{
    struct journal *j = fixture_journal(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    uint64_t synced = journal_synced(j);
    size_t written = 0;

    for (unsigned i = 0; i < 20; i++) {
        struct event e = fixture_event(j, i);
        struct err err;

        ck_assert_msg(journal_reserve(j, &err), "%s", err.text);
        journal_begin(j, &e, fixture_count, &written);
        fixture_wait(&f, j, &written, i + 1);
        ck_assert_uint_eq(journal_synced(j), synced);
        ck_assert_uint_eq(calls_that_a_successor_ends(dir, i), i + 1);
    }
    journal_free(j);
}
END_TEST

START_TEST(calls_that_queue_up_are_told_once_each_and_in_order)
{
    struct journal *j = with_larger_segments();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    size_t durable = 0;

    for (unsigned i = 0; i < 2000; i++) {
        fixture_call(j, i, fixture_count, &durable);
        if (i % 50 == 0)
            fixture_wait(&f, j, &durable, i + 1);
    }
    fixture_wait(&f, j, &durable, 2000);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 2000);
    for (unsigned i = 0; i < 2000; i++) {
        char id[REQUEST_ID_TEXT];

        fixture_request_id(i, id);
        ck_assert(strstr(lines.line[i], id));
    }
    ck_assert(record_heads_equal(&lines.heads, journal_heads(j)));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(what_is_gathered_is_written_when_it_is_flushed_and_is_announced_once)
{
    struct journal *j = with_larger_segments();
    struct pollfd told = {.fd = f.notify_fd, .events = POLLIN};
    size_t durable = 0, announced = 0;
    uint64_t stale;

    fixture_call(j, 0, fixture_count, &durable);
    fixture_wait(&f, j, &durable, 1);
    while (read(f.notify_fd, &stale, sizeof stale) > 0)
        ;
    journal_gather(j, fixture_count, &announced);
    for (unsigned i = 1; i < 6; i++)
        fixture_call(j, i, fixture_count, &durable);
    ck_assert_uint_eq(announced, 1);
    ck_assert_int_eq(poll(&told, 1, 50), 0);
    journal_flush(j);
    fixture_wait(&f, j, &durable, 6);
    journal_flush(j);
    fixture_call(j, 6, fixture_count, &durable);
    ck_assert_uint_eq(announced, 2);
    journal_flush(j);
    fixture_wait(&f, j, &durable, 7);
    journal_free(j);
}
END_TEST

START_TEST(what_is_gathered_and_not_flushed_is_written_at_the_end)
{
    struct journal *j = fixture_journal(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    size_t told = 0;

    journal_gather(j, fixture_count, &told);
    fixture_call(j, 0, fixture_count, &told);
    journal_free(j);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 1);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(changes_are_numbered_on_their_side)
{
    struct journal *j = fixture_without_thread(&f);
    struct partition account = partition_of(SIDE_ACCOUNT, SPAN("acme"));
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    size_t durable = 0;
    char at[CLOCK_TEXT], body[200];
    struct err err;

    snprintf(body, sizeof body, "{\"account\":\"acme\",\"at\":\"%s\"}",
             clock_format(journal_now(j), at));
    for (int i = 0; i < 3; i++)
        ck_assert(journal_change(j,
                                 &(struct journal_change){RECORD_ACCOUNT, span_of(body), account},
                                 fixture_count, &durable, &err));
    ck_assert(journal_change(
        j, &(struct journal_change){RECORD_CATALOGUE, span_of(body), partition_catalogue()},
        fixture_count, &durable, &err));
    journal_completed(j);
    ck_assert_uint_eq(durable, 4);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.heads.at[SIDE_ACCOUNT][account.index].n, 3);
    ck_assert_uint_eq(lines.heads.at[SIDE_MODEL][0].n, 1);
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(a_change_larger_than_any_record_is_refused)
{
    struct journal *j = fixture_without_thread(&f);
    size_t n = RECORD_BYTES_MAX;
    char *body = xcalloc(1, n + 1);
    struct err err;

    memset(body, 'x', n);
    body[0] = '{';
    body[n - 1] = '}';
    ck_assert(!journal_change(
        j, &(struct journal_change){RECORD_CATALOGUE, {body, n}, partition_catalogue()}, NULL, NULL,
        &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    free(body);
    journal_free(j);
}
END_TEST

START_TEST(time_never_runs_back)
{
    struct journal *j = fixture_without_thread(&f);
    size_t durable = 0;
    int64_t before = journal_now(j);

    fixture_call(j, 1, fixture_count, &durable);
    journal_completed(j);
    fixture_set_clock(FIXTURE_NOW - 86400 * NANOS_PER_SECOND);
    ck_assert_int_ge(journal_now(j), before);
    journal_free(j);
    j = fixture_without_thread(&f);
    ck_assert_int_ge(journal_now(j), before / NANOS_PER_MS * NANOS_PER_MS);
    journal_free(j);
}
END_TEST

/* Lines of the tail, until it has no more. */
static size_t drain(struct journal_tail *t, struct record_heads *heads)
{
    struct record_head head;
    struct span line;
    size_t n = 0;
    uint32_t crc;
    struct err err;
    int got;

    while ((got = journal_tail_next(t, &head, &line, &crc, &err)) == 1) {
        ck_assert_msg(record_heads_advance(heads, &head.place, crc, &err), "%s", err.text);
        n++;
    }
    ck_assert_msg(got == 0, "%s", err.text);
    ck_assert(journal_tail_at_end(t));
    return n;
}

START_TEST(the_tail_gives_every_durable_record_once_and_nothing_else)
{
    struct journal *j = with_larger_segments();
    struct record_heads none = {0}, heads = {0};
    struct err err;
    AUTO(journal_tail) tail = journal_tail_new(j, &none, &err);
    size_t durable = 0, seen = 0;

    ck_assert_msg(tail, "%s", err.text);
    for (unsigned i = 0; i < 600; i++) {
        fixture_call(j, i, fixture_count, &durable);
        if (i % 100 == 99)
            fixture_wait(&f, j, &durable, i + 1);
        else
            journal_completed(j);
        seen += drain(tail, &heads);
        ck_assert(record_heads_equal(&heads, journal_heads(j)));
        ck_assert_uint_eq(seen, durable);
    }
    ck_assert_uint_eq(seen, 600);
    ck_assert_uint_gt(fixture_sealed_segments(&f), 1);
    journal_free(j);
}
END_TEST

START_TEST(a_tail_begins_at_the_cursors_it_is_given)
{
    struct journal *j = fixture_without_thread(&f);
    struct record_heads cursors = {0}, heads;
    size_t durable = 0;
    struct err err;

    for (unsigned i = 0; i < 300; i++) {
        fixture_call(j, i, fixture_count, &durable);
        journal_completed(j);
        if (i == 199)
            cursors = *journal_heads(j);
    }
    for (int round = 0; round < 2; round++) {
        AUTO(journal_tail) tail = journal_tail_new(j, &cursors, &err);

        ck_assert_msg(tail, "%s", err.text);
        heads = cursors;
        ck_assert_uint_eq(drain(tail, &heads), 100);
        journal_free(j);
        j = fixture_without_thread(&f);
    }
    ck_assert_uint_eq(journal_first_heads(j)->at[SIDE_MODEL][0].n, 0);
    journal_free(j);
}
END_TEST

START_TEST(an_idle_journal_states_its_last_sync)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct segment_file *files;
    AUTO_CLEAR(buf) bytes;
    size_t count;
    struct err err;

    fixture_call(j, 1, NULL, NULL);
    journal_completed(j);
    buf_init(&bytes, 1 << 20);
    ck_assert(segment_list(dir, &files, &count, NULL));
    ck_assert(file_read(files[0].path, &bytes, &err));
    ck_assert_ptr_null(memmem(bytes.data, bytes.len, "\"sync\"", 6));
    journal_tick(j);
    journal_completed(j);
    buf_truncate(&bytes, 0);
    ck_assert(file_read(files[0].path, &bytes, &err));
    ck_assert_ptr_nonnull(memmem(bytes.data, bytes.len, "\"sync\"", 6));
    segment_list_free(files, count);
    journal_free(j);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_end_is_on_disk_when_its_caller_is_told);
    tcase_add_test(t, a_begin_is_on_disk_when_its_caller_is_told_though_nothing_is_synced);
    tcase_add_test(t, calls_that_queue_up_are_told_once_each_and_in_order);
    tcase_add_test(t, what_is_gathered_is_written_when_it_is_flushed_and_is_announced_once);
    tcase_add_test(t, what_is_gathered_and_not_flushed_is_written_at_the_end);
    tcase_add_test(t, changes_are_numbered_on_their_side);
    tcase_add_test(t, a_change_larger_than_any_record_is_refused);
    tcase_add_test(t, time_never_runs_back);
    tcase_add_test(t, the_tail_gives_every_durable_record_once_and_nothing_else);
    tcase_add_test(t, a_tail_begins_at_the_cursors_it_is_given);
    tcase_add_test(t, an_idle_journal_states_its_last_sync);
    return run_tests(t, "journal");
}
