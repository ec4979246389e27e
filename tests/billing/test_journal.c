/* The live journal: what it promises to the loop that writes to it, with its thread and without. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/journal_space.h"
#include "billing/seal.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/journal_fixture.h"

#define NOVEMBER INT64_C(1793462400000000000) /* 2026-10-31T16:00:00Z: midnight in Shanghai */

static struct journal_fixture f;
static bool disk_is_full;

int __real_posix_fallocate(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate(int fd, off_t offset, off_t length);

int __wrap_posix_fallocate(int fd, off_t offset, off_t length)
{
    return disk_is_full ? ENOSPC : __real_posix_fallocate(fd, offset, length);
}

static void set_up(void)
{
    disk_is_full = false;
    fixture_open(&f);
}

static void tear_down(void)
{
    fixture_clear(&f);
}

static struct journal *without_thread(void)
{
    struct err err;
    struct journal *j = journal_open(&f.config, NULL, &err);

    ck_assert_msg(j, "%s", err.text);
    return j;
}

/* So that much can be queued at once. */
static struct journal *with_larger_segments(void)
{
    f.config.segment_bytes = 4 * FIXTURE_SEGMENT;
    return fixture_journal(&f);
}

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

START_TEST(the_next_process_goes_on_with_the_same_writer_and_numbers)
{
    char writer[WRITER_TEXT] = "";
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;

    for (unsigned round = 0; round < 4; round++) {
        struct journal *j = fixture_journal(&f);
        size_t durable = 0;

        ck_assert_str_eq(journal_dir(j), dir);
        if (round > 0)
            ck_assert_str_eq(journal_writer(j), writer);
        snprintf(writer, sizeof writer, "%s", journal_writer(j));
        for (unsigned i = 0; i < 10; i++)
            fixture_call(j, round * 10 + i, fixture_count, &durable);
        fixture_wait(&f, j, &durable, 10);
        journal_free(j);
    }
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 40);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(a_directory_belongs_to_one_holder_at_a_time)
{
    struct journal *first = fixture_journal(&f);
    struct journal *second = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct err err;

    ck_assert_str_ne(journal_writer(first), journal_writer(second));
    ck_assert_ptr_null(journal_open_dir(&f.config, dir, &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    journal_free(first);
    first = journal_open_dir(&f.config, dir, &err);
    ck_assert_msg(first, "%s", err.text);
    journal_free(first);
    journal_free(second);
}
END_TEST

START_TEST(processes_that_race_for_directories_never_share_one)
{
    enum { RACERS = 8 };
    pid_t children[RACERS];
    int gate[2], answers[2];
    char writers[RACERS][WRITER_TEXT];

    ck_assert(pipe(gate) == 0 && pipe(answers) == 0);
    for (int i = 0; i < RACERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char go;
            struct journal *j;

            close(gate[1]);
            ck_assert(read(gate[0], &go, 1) == 0);
            j = journal_open(&f.config, NULL, NULL);
            if (!j || write(answers[1], journal_writer(j), WRITER_TEXT) != WRITER_TEXT)
                _exit(1);
            for (;;)
                pause();
        }
    }
    close(gate[1]);
    for (int i = 0; i < RACERS; i++) {
        ck_assert(read(answers[0], writers[i], WRITER_TEXT) == WRITER_TEXT);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(writers[i], writers[k]);
    }
    for (int i = 0; i < RACERS; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    close(gate[0]);
    close(answers[0]);
    close(answers[1]);
}
END_TEST

START_TEST(a_writer_is_registered_before_its_first_call)
{
    struct journal *j = without_thread();
    struct archive_writer *writers;
    size_t count;
    struct err err;

    ck_assert_msg(archive_writers(f.archive, &writers, &count, &err), "%s", err.text);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(writers[0].writer, journal_writer(j));
    ck_assert_str_eq(writers[0].first_period.text, "2026-10");
    free(writers);
    journal_free(j);
}
END_TEST

START_TEST(without_its_archive_a_known_writer_still_starts)
{
    struct journal *j = without_thread();
    struct err err;

    journal_free(j);
    fixture_remove(f.archive);
    j = without_thread();
    journal_free(j);
    ck_assert(file_write_atomic(f.archive, 0600, SPAN("no directory"), &err));
    j = without_thread();
    journal_free(j);
}
END_TEST

START_TEST(another_installations_directory_is_refused)
{
    struct journal *j = without_thread();
    struct err err;

    journal_free(j);
    f.config.installation = "inst-other";
    ck_assert_ptr_null(journal_open(&f.config, NULL, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

/* The original goes on; the copy is marked, and whoever starts next neither takes it nor minds it. */
START_TEST(a_copy_of_a_directory_is_never_taken_up)
{
    AUTO_STRING original = fixture_dir(&f, 1);
    AUTO_STRING copy = fixture_dir(&f, 9);
    struct err err;
    AUTO(journal) j = fixture_journal(&f);

    ck_assert_ptr_nonnull(j);
    fixture_copy(original, copy);
    ck_assert_ptr_null(journal_open_dir(&f.config, copy, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, journal_writer(j)));
    journal_free(KEEP(j));
    j = fixture_journal(&f);
    ck_assert_str_eq(journal_dir(j), original);
}
END_TEST

START_TEST(changes_are_numbered_on_their_side)
{
    struct journal *j = without_thread();
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
    struct journal *j = without_thread();
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
    struct journal *j = without_thread();
    size_t durable = 0;
    int64_t before = journal_now(j);

    fixture_call(j, 1, fixture_count, &durable);
    journal_completed(j);
    fixture_set_clock(FIXTURE_NOW - 86400 * NANOS_PER_SECOND);
    ck_assert_int_ge(journal_now(j), before);
    journal_free(j);
    j = without_thread();
    ck_assert_int_ge(journal_now(j), before / NANOS_PER_MS * NANOS_PER_MS);
    journal_free(j);
}
END_TEST

static struct seal seal_in(const struct fixture_lines *lines, size_t at)
{
    struct seal seal;
    struct err err;

    ck_assert_msg(seal_parse(span_of(lines->line[at]), &seal, &err), "%s: %s", err.text,
                  lines->line[at]);
    return seal;
}

START_TEST(a_periods_end_writes_its_seal_before_the_first_record_of_the_next)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct seal seal;
    size_t durable = 0;

    fixture_set_clock(NOVEMBER - 10 * NANOS_PER_SECOND);
    for (unsigned i = 0; i < 5; i++)
        fixture_call(j, i, fixture_count, &durable);
    fixture_set_clock(NOVEMBER);
    for (unsigned i = 5; i < 8; i++)
        fixture_call(j, i, fixture_count, &durable);
    journal_completed(j);
    ck_assert_uint_eq(durable, 8);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 9);
    seal = seal_in(&lines, 5);
    ck_assert_str_eq(seal.writer, journal_writer(j));
    ck_assert_str_eq(seal.totals.period.text, "2026-10");
    ck_assert_uint_eq(seal.totals.records, 5);
    ck_assert_uint_eq(seal.totals.events, 5);
    ck_assert_uint_eq(seal.totals.currency_count, 1);
    ck_assert_str_eq(seal.totals.sum[0].currency, "CNY");
    ck_assert(seal.totals.sum[0].nanos == 5010);
    ck_assert(strstr(lines.line[4], "\"period\":\"2026-10\""));
    ck_assert(strstr(lines.line[6], "\"period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

static struct refund refund_of(const struct event *e, const char *op, int64_t nanos)
{
    struct refund r;

    refund_of_event(e, &r);
    snprintf(r.op, sizeof r.op, "%s", op);
    snprintf(r.reason, sizeof r.reason, "it was slow");
    r.amount.nanos = nanos;
    return r;
}

START_TEST(a_refund_is_on_both_sides_in_the_period_in_which_it_is_booked)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct event e = fixture_event(j, 3);
    struct refund r = refund_of(&e, "op-1", 2);
    struct fixture_lines lines;
    struct seal seal;
    struct err err;
    size_t durable = 0;

    fixture_set_clock(NOVEMBER - NANOS_PER_SECOND);
    fixture_call(j, 3, fixture_count, &durable);
    ck_assert_msg(journal_refund(j, &r, fixture_count, &durable, &err), "%s", err.text);
    ck_assert_str_eq(r.period.text, "2026-10");
    fixture_set_clock(NOVEMBER);
    snprintf(r.op, sizeof r.op, "op-2");
    ck_assert_msg(journal_refund(j, &r, fixture_count, &durable, &err), "%s", err.text);
    journal_completed(j);
    ck_assert_uint_eq(durable, 3);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 4);
    ck_assert_uint_eq(fixture_of_kind(&lines, "refund"), 2);
    seal = seal_in(&lines, 2);
    ck_assert_uint_eq(seal.totals.records, 2);
    ck_assert_uint_eq(seal.totals.events, 1);
    ck_assert_uint_eq(seal.totals.refunds, 1);
    ck_assert(seal.totals.sum[0].nanos == e.amount.nanos && seal.totals.sum[0].refunded == 2);
    ck_assert(strstr(lines.line[3], "\"orig_period\":\"2026-10\",\"period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(a_refund_of_a_call_whose_period_has_not_begun_here_is_refused)
{
    struct journal *j = without_thread();
    struct event e = fixture_event(j, 3);
    struct refund r;
    struct err err;

    e.period = period_next(e.period);
    r = refund_of(&e, "op-1", 2);
    ck_assert(!journal_refund(j, &r, NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    journal_free(j);
}
END_TEST

START_TEST(an_event_of_a_period_sealed_meanwhile_ends_in_the_next)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct event e;

    fixture_set_clock(NOVEMBER - NANOS_PER_SECOND);
    e = fixture_event(j, 7);
    ck_assert(journal_reserve(j, NULL));
    journal_begin(j, &e);
    fixture_set_clock(NOVEMBER + NANOS_PER_SECOND);
    journal_tick(j);
    journal_call(j, &e, NULL, NULL);
    journal_completed(j);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 2);
    ck_assert_uint_eq(seal_in(&lines, 0).totals.records, 0);
    ck_assert(strstr(lines.line[1], "\"ended_at\":\"2026-10-31T16:00:01"));
    ck_assert(strstr(lines.line[1], "\"period\":\"2026-11\",\"orig_period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(periods_nobody_was_there_for_are_sealed_at_take_up)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct seal october, november;

    fixture_call(j, 1, NULL, NULL);
    journal_free(j);
    fixture_set_clock(NOVEMBER + 40 * 86400 * NANOS_PER_SECOND);
    j = without_thread();
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 3);
    ck_assert_str_eq(seal_in(&lines, 1).totals.period.text, "2026-10");
    ck_assert_uint_eq(seal_in(&lines, 1).totals.records, 1);
    ck_assert_str_eq(seal_in(&lines, 2).totals.period.text, "2026-11");
    ck_assert_uint_eq(seal_in(&lines, 2).totals.records, 0);
    october = seal_in(&lines, 1);
    november = seal_in(&lines, 2);
    ck_assert(record_heads_equal(&october.heads, &november.heads));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

static size_t sealed_segments(void)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct segment_file *files;
    size_t count, sealed = 0;

    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++)
        sealed += files[i].sealed;
    ck_assert(!files[count - 1].sealed && sealed == count - 1);
    segment_list_free(files, count);
    return sealed;
}

START_TEST(a_segment_is_sealed_when_asked_and_only_if_it_holds_something)
{
    struct journal *j = fixture_journal(&f);
    size_t durable = 0, sealed = 0;

    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 1);
    ck_assert_uint_eq(sealed_segments(), 0);
    fixture_call(j, 1, fixture_count, &durable);
    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 2);
    ck_assert_uint_eq(durable, 1);
    ck_assert_uint_eq(sealed_segments(), 1);
    journal_seal(j, fixture_count, &sealed);
    fixture_wait(&f, j, &sealed, 3);
    ck_assert_uint_eq(sealed_segments(), 1);
    fixture_call(j, 2, fixture_count, &durable);
    fixture_wait(&f, j, &durable, 2);
    journal_free(j);
    ck_assert_uint_eq(sealed_segments(), 2);
}
END_TEST

START_TEST(an_hour_old_segment_with_records_is_sealed)
{
    struct journal *j = without_thread();

    for (int day = 1; day < 4; day++) {
        int64_t begins = FIXTURE_NOW + day * 86400 * NANOS_PER_SECOND;

        fixture_set_clock(begins);
        fixture_call(j, (unsigned)day, NULL, NULL);
        for (int minute = 0; minute < 60; minute += 5) {
            fixture_set_clock(begins + minute * 60 * NANOS_PER_SECOND);
            journal_tick(j);
            journal_completed(j);
            ck_assert_uint_eq(sealed_segments(), (size_t)day - 1);
        }
        fixture_set_clock(begins + 3601 * NANOS_PER_SECOND);
        journal_tick(j);
        journal_completed(j);
        ck_assert_uint_eq(sealed_segments(), (size_t)day);
    }
    journal_free(j);
}
END_TEST

START_TEST(a_full_segment_is_followed_by_the_next)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct segment_file *files;
    size_t durable = 0, count;

    for (unsigned i = 0; i < 400; i++) {
        fixture_call(j, i, fixture_count, &durable);
        journal_completed(j);
    }
    ck_assert_uint_eq(durable, 400);
    ck_assert_uint_gt(sealed_segments(), 3);
    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i + 1 < count; i++) {
        ck_assert_uint_eq(files[i].position + files[i].size, files[i + 1].position);
        ck_assert_uint_le(files[i].size, FIXTURE_SEGMENT);
    }
    segment_list_free(files, count);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 400);
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(what_is_reserved_fits_however_full_the_disk_is)
{
    struct journal *j = without_thread();
    size_t durable = 0, calls = 0, ended = 0;
    struct event e;
    struct err err;

    disk_is_full = true;
    for (unsigned i = 0; i < 20; i++)
        fixture_call(j, i, fixture_count, &durable);
    journal_completed(j);
    ck_assert_uint_eq(durable, 20);
    while (journal_reserve(j, &err)) {
        e = fixture_event(j, (unsigned)(1000 + calls++));
        journal_begin(j, &e);
        journal_completed(j);
        ck_assert_uint_lt(calls, 1000);
    }
    ck_assert_int_eq(err.code, ERR_FULL);
    ck_assert_uint_gt(calls, 0);
    for (int i = 0; i < 2000; i++)
        journal_progress(j, &e);
    journal_completed(j);
    journal_seal(j, fixture_count, &ended);
    for (unsigned i = 0; i < calls; i++) {
        e = fixture_event(j, 1000 + i);
        journal_call(j, &e, fixture_count, &durable);
        journal_completed(j);
    }
    ck_assert_uint_eq(durable, 20 + calls);

    disk_is_full = false;
    journal_tick(j);
    journal_completed(j);
    ck_assert_uint_eq(ended, 1);
    ck_assert(journal_reserve(j, &err));
    journal_unreserve(j);
    journal_free(j);
}
END_TEST

START_TEST(no_more_is_written_than_the_disk_has_promised)
{
    struct journal *j = without_thread();
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct segment_file *files;
    size_t count, calls = 0;
    struct event e = fixture_event(j, 0);
    struct err err;

    disk_is_full = true;
    for (size_t i = 0; i < OWNERS_MAX; i++) {
        memset(e.owners[i].id, (int)('a' + i), ID_TEXT - 1);
        e.owners[i].id[ID_TEXT - 1] = '\0';
        e.owners[i].weight = 1;
    }
    e.owner_count = OWNERS_MAX;
    while (journal_reserve(j, &err))
        calls++;
    for (size_t i = 0; i < calls; i++) {
        fixture_request_id((unsigned)i, e.request_id);
        journal_begin(j, &e);
        for (int k = 0; k < 50; k++)
            journal_progress(j, &e);
        journal_completed(j);
        journal_call(j, &e, NULL, NULL);
        journal_tick(j);
        journal_completed(j);
    }
    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_le(files[i].size, FIXTURE_SEGMENT);
    segment_list_free(files, count);
    journal_free(j);
}
END_TEST

START_TEST(room_for_many_calls_is_made_as_they_come)
{
    struct journal *j = fixture_journal(&f);
    struct err err;
    int calls = 0;

    for (int patience = 0; calls < 300 && patience < 3000; patience++) {
        if (journal_reserve(j, &err))
            calls++;
        else
            usleep(1000);
    }
    ck_assert_int_eq(calls, 300);
    journal_free(j);
}
END_TEST

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
    ck_assert_uint_gt(sealed_segments(), 1);
    journal_free(j);
}
END_TEST

START_TEST(a_tail_begins_at_the_cursors_it_is_given)
{
    struct journal *j = without_thread();
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
        j = without_thread();
    }
    ck_assert_uint_eq(journal_first_heads(j)->at[SIDE_MODEL][0].n, 0);
    journal_free(j);
}
END_TEST

START_TEST(an_idle_journal_states_its_last_sync)
{
    struct journal *j = without_thread();
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

START_TEST(space_is_never_promised_twice)
{
    struct journal_space s = {.segment_bytes = FIXTURE_SEGMENT, .free_bytes = 100000, .spares = 2};

    while (journal_space_fits(&s, CALL_ROOM))
        s.reserved++;
    ck_assert_uint_gt(s.reserved, 0);
    ck_assert_uint_le(s.reserved * CALL_ROOM, 100000 + 2 * FIXTURE_SEGMENT - SEGMENT_HEADER_MAX);
    ck_assert(!journal_space_may_roll(&s));
    s.spares += 4;
    ck_assert(journal_space_may_roll(&s));
    ck_assert_uint_gt(journal_space_spares_wanted(&s), 1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_end_is_on_disk_when_its_caller_is_told);
    tcase_add_test(t, calls_that_queue_up_are_told_once_each_and_in_order);
    tcase_add_test(t, what_is_gathered_is_written_when_it_is_flushed_and_is_announced_once);
    tcase_add_test(t, what_is_gathered_and_not_flushed_is_written_at_the_end);
    tcase_add_test(t, the_next_process_goes_on_with_the_same_writer_and_numbers);
    tcase_add_test(t, a_directory_belongs_to_one_holder_at_a_time);
    tcase_add_test(t, processes_that_race_for_directories_never_share_one);
    tcase_add_test(t, a_writer_is_registered_before_its_first_call);
    tcase_add_test(t, without_its_archive_a_known_writer_still_starts);
    tcase_add_test(t, another_installations_directory_is_refused);
    tcase_add_test(t, a_copy_of_a_directory_is_never_taken_up);
    tcase_add_test(t, changes_are_numbered_on_their_side);
    tcase_add_test(t, a_change_larger_than_any_record_is_refused);
    tcase_add_test(t, time_never_runs_back);
    tcase_add_test(t, a_periods_end_writes_its_seal_before_the_first_record_of_the_next);
    tcase_add_test(t, a_refund_is_on_both_sides_in_the_period_in_which_it_is_booked);
    tcase_add_test(t, a_refund_of_a_call_whose_period_has_not_begun_here_is_refused);
    tcase_add_test(t, an_event_of_a_period_sealed_meanwhile_ends_in_the_next);
    tcase_add_test(t, periods_nobody_was_there_for_are_sealed_at_take_up);
    tcase_add_test(t, a_segment_is_sealed_when_asked_and_only_if_it_holds_something);
    tcase_add_test(t, an_hour_old_segment_with_records_is_sealed);
    tcase_add_test(t, a_full_segment_is_followed_by_the_next);
    tcase_add_test(t, what_is_reserved_fits_however_full_the_disk_is);
    tcase_add_test(t, no_more_is_written_than_the_disk_has_promised);
    tcase_add_test(t, room_for_many_calls_is_made_as_they_come);
    tcase_add_test(t, the_tail_gives_every_durable_record_once_and_nothing_else);
    tcase_add_test(t, a_tail_begins_at_the_cursors_it_is_given);
    tcase_add_test(t, an_idle_journal_states_its_last_sync);
    tcase_add_test(t, space_is_never_promised_twice);
    return run_tests(t, "journal");
}
