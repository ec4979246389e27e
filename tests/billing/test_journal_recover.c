/* Taking up a directory: where a torn end is cut, what is damage, and what becomes of calls that were open. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/journal_home.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/journal_fixture.h"

int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

/* Thousands of recoveries run here: none needs the disk to be real. */
int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

static struct journal_fixture f;
static char *dir, *kept; /* of the journal; of a copy as its process left it */

static void set_up(void)
{
    fixture_open(&f);
    dir = fixture_dir(&f, 1);
    kept = path_join(f.top, "kept");
}

static void tear_down(void)
{
    free(dir);
    free(kept);
    fixture_clear(&f);
}

static struct journal *take_up(void)
{
    struct err err;
    struct journal *j = journal_open_dir(&f.config, dir, &err);

    ck_assert_msg(j, "%s", err.text);
    return j;
}

/* What a process that dies now would leave. */
static void keep(void)
{
    size_t count;
    char **names;

    fixture_remove(kept);
    fixture_copy(dir, kept);
    ck_assert(dir_list(kept, &names, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING path = path_join(kept, names[i]);

        if (strncmp(names[i], "spare-", 6) == 0)
            unlink(path);
    }
    dir_names_free(names, count);
}

static void put_back(void)
{
    fixture_remove(dir);
    fixture_copy(kept, dir);
}

/* The open segment of what was kept, as bytes to be spoilt. */
static void read_open(struct buf *bytes, char **path, uint64_t *base)
{
    struct segment_file *files;
    size_t count;
    struct err err;

    ck_assert(segment_list(kept, &files, &count, &err));
    buf_clear(bytes);
    free(*path);
    ck_assert_msg(file_read(files[count - 1].path, bytes, &err), "%s", err.text);
    *path = xasprintf("%s%s", dir, files[count - 1].path + strlen(kept));
    *base = files[count - 1].position;
    segment_list_free(files, count);
}

static void write_open(const char *path, struct span bytes)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert(fd >= 0 && pwrite(fd, bytes.data, bytes.len, 0) == (ssize_t)bytes.len);
    close(fd);
}

/* Offsets of the frames of a segment's bytes: where the last statement points, and where they end. */
static void survey(struct span bytes, uint64_t base, size_t *synced, size_t *end)
{
    struct frame frame;
    bool ended;
    size_t size;

    *synced = *end = 0;
    while (frame_read((struct span){bytes.data + *end, bytes.len - *end}, base + *end, &frame,
                      &size, &ended, NULL) == 1) {
        uint64_t stated;

        if (*end == 0)
            *synced = size;
        if (sync_record_parse(frame.json, &stated, NULL))
            *synced = (size_t)(stated - base);
        *end += size;
    }
    ck_assert(ended);
}

static void write_calls(struct journal *j, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        fixture_call(j, i, NULL, NULL);
    journal_completed(j);
}

static struct fixture_lines read_lines(void)
{
    struct fixture_lines lines;

    fixture_read(dir, &lines);
    return lines;
}

START_TEST(a_tail_torn_at_any_byte_of_the_last_batch_is_cut_there)
{
    struct journal *j;
    AUTO_CLEAR(buf) bytes = {.max = 1 << 24};
    AUTO_STRING path = NULL;
    uint64_t base;
    size_t synced, end;
    struct event e;

    j = journal_open(&f.config, NULL, NULL);
    ck_assert(j);
    write_calls(j, 0, 5);
    e = fixture_event(j, 5);
    ck_assert(journal_reserve(j, NULL));
    journal_call(j, &e, NULL, NULL);
    journal_completed(j);
    keep();
    journal_free(j);
    read_open(&bytes, &path, &base);
    survey(buf_span(&bytes), base, &synced, &end);
    ck_assert_uint_gt(end - synced, 300);
    for (size_t cut = synced; cut < end; cut++) {
        struct fixture_lines lines;

        put_back();
        memset(bytes.data + cut, cut % 2 ? 0 : 0xa5, end - cut);
        if (cut % 4 == 0)
            memset(bytes.data + cut, 0, 1);
        write_open(path, (struct span){bytes.data, end});
        journal_free(take_up());
        lines = read_lines();
        ck_assert_uint_eq(lines.count, 5);
        fixture_lines_clear(&lines);
        read_open(&bytes, &path, &base);
    }
}
END_TEST

/* Takes up what was spoilt at `offset`, which must be told as damage at or before it. */
static void expect_damage(const char *path, size_t offset)
{
    AUTO_STRING mark = path_join(dir, "damaged");
    struct journal *j;
    struct err err;
    const char *said;

    j = journal_open_dir(&f.config, dir, &err);
    ck_assert_msg(!j, "a byte changed at %zu was not found", offset);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, strrchr(path, '/')), "%s", err.text);
    said = strstr(err.text, "offset ");
    ck_assert_msg(said || offset < SEGMENT_HEADER_MAX, "%s", err.text);
    ck_assert(!said || strtoull(said + 7, NULL, 10) <= offset);
    ck_assert(file_exists(mark));
}

START_TEST(any_byte_changed_below_the_last_stated_sync_stops_the_directory)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_CLEAR(buf) bytes = {.max = 1 << 24};
    AUTO_STRING path = NULL;
    uint64_t base;
    size_t synced, end, frames = 0;

    ck_assert(j);
    for (unsigned i = 0; i < 12; i++)
        write_calls(j, i, i + 1);
    keep();
    journal_free(j);
    read_open(&bytes, &path, &base);
    survey(buf_span(&bytes), base, &synced, &end);
    for (size_t offset = 0; offset < synced; offset += offset < 40 ? 1 : 1 + rand_below(60)) {
        put_back();
        bytes.data[offset] ^= (char)(1 << rand_below(8));
        write_open(path, buf_span(&bytes));
        expect_damage(path, offset);
        read_open(&bytes, &path, &base);
        frames++;
    }
    ck_assert_uint_gt(frames, 100);
    for (size_t offset = 0; offset < synced;) {
        struct frame frame;
        size_t size;
        bool ended;

        ck_assert(frame_read((struct span){bytes.data + offset, end - offset}, base + offset,
                             &frame, &size, &ended, NULL) == 1);
        put_back();
        memset(bytes.data + offset, 0, 4);
        write_open(path, buf_span(&bytes));
        expect_damage(path, offset);
        read_open(&bytes, &path, &base);
        offset += size;
    }
}
END_TEST

START_TEST(a_damaged_directory_is_left_alone_and_the_next_is_taken)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_STRING second = fixture_dir(&f, 2);
    AUTO_CLEAR(buf) bytes = {.max = 1 << 24};
    AUTO_CLEAR(buf) damaged;
    AUTO_STRING path = NULL;
    uint64_t base;

    ck_assert(j);
    write_calls(j, 0, 3);
    write_calls(j, 3, 6);
    keep();
    journal_free(j);
    put_back();
    read_open(&bytes, &path, &base);
    bytes.data[300] ^= 1;
    write_open(path, buf_span(&bytes));
    for (int round = 0; round < 2; round++) {
        buf_init(&damaged, 4096);
        j = journal_open(&f.config, &damaged, NULL);
        ck_assert(j);
        ck_assert_str_eq(journal_dir(j), second);
        ck_assert_msg(strstr(damaged.data, "00000001.open"), "%s", damaged.data);
        ck_assert_ptr_null(journal_open_dir(&f.config, dir, NULL));
        journal_free(j);
        buf_clear(&damaged);
    }
}
END_TEST

/* One call in each state that a dying process can leave. */
START_TEST(open_calls_end_as_their_last_progress_says_or_void)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct fixture_lines lines;
    struct event e;
    AUTO_JSON killed = NULL;
    AUTO_JSON voided = NULL;
    struct event end;
    struct err err;

    ck_assert(j);
    for (unsigned i = 0; i < 3; i++) {
        e = fixture_event(j, i);
        ck_assert(journal_reserve(j, NULL));
        journal_begin(j, &e, NULL, NULL);
        if (i == 0)
            continue;
        journal_progress(j, &e);
        fixture_set_clock(FIXTURE_NOW + 5 * NANOS_PER_SECOND);
        e.amount.nanos = 777;
        journal_progress(j, &e);
        if (i == 2)
            journal_call(j, &e, NULL, NULL);
    }
    journal_completed(j);
    keep();
    journal_free(j);
    put_back();
    fixture_set_clock(FIXTURE_NOW + 3600 * NANOS_PER_SECOND);
    journal_free(take_up());
    lines = read_lines();
    ck_assert_uint_eq(lines.count, 3);

    voided = json_parse(span_of(lines.line[1]), &err);
    ck_assert_msg(event_parse(voided, &end, &err), "%s", err.text);
    ck_assert_int_eq(end.outcome, OUTCOME_VOID);
    ck_assert_int_eq(end.amount.nanos, 0);
    ck_assert_uint_eq(end.used.count, 0);

    killed = json_parse(span_of(lines.line[2]), &err);
    ck_assert_msg(event_parse(killed, &end, &err), "%s", err.text);
    ck_assert_int_eq(end.outcome, OUTCOME_KILLED);
    ck_assert_int_eq(end.amount.nanos, 777);
    ck_assert_uint_eq(end.used.count, 2);
    ck_assert_int_ge(end.ended_at, FIXTURE_NOW + 4 * NANOS_PER_SECOND);
    ck_assert_int_le(end.ended_at, FIXTURE_NOW + 6 * NANOS_PER_SECOND);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(a_call_open_since_many_segments_is_found)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct fixture_lines lines;
    struct event e;

    ck_assert(j);
    for (unsigned i = 0; i < 300; i++) {
        if (i % 100 == 20) {
            e = fixture_event(j, 1000 + i);
            ck_assert(journal_reserve(j, NULL));
            journal_begin(j, &e, NULL, NULL);
        }
        write_calls(j, i, i + 1);
    }
    keep();
    journal_free(j);
    put_back();
    journal_free(take_up());
    lines = read_lines();
    ck_assert_uint_eq(lines.count, 303);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(fixture_ends(&lines, 1020 + 100 * i), 1);
        ck_assert(strstr(lines.line[300 + i], "\"outcome\":\"void\""));
    }
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(ends_of_open_calls_stand_in_the_period_that_their_seal_counts)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct fixture_lines lines;
    struct seal seal;
    struct event e;
    struct err err;

    ck_assert(j);
    e = fixture_event(j, 1);
    ck_assert(journal_reserve(j, NULL));
    journal_begin(j, &e, NULL, NULL);
    journal_progress(j, &e);
    journal_completed(j);
    keep();
    journal_free(j);
    put_back();
    fixture_set_clock(FIXTURE_NOW + 20 * 86400 * NANOS_PER_SECOND);
    j = take_up();
    lines = read_lines();
    ck_assert_uint_eq(lines.count, 2);
    ck_assert(strstr(lines.line[0], "\"period\":\"2026-10\",\"orig_period\":\"2026-10\""));
    ck_assert_msg(seal_parse(span_of(lines.line[1]), &seal, &err), "%s", err.text);
    ck_assert_uint_eq(seal.totals.events, 1);
    ck_assert(seal.totals.sum[0].nanos == 1001);
    ck_assert(record_heads_equal(&seal.heads, &lines.heads));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(a_directory_that_nothing_was_written_to_does_not_grow)
{
    struct segment_file *files;
    size_t count;

    for (int round = 0; round < 5; round++) {
        struct journal *j = journal_open(&f.config, NULL, NULL);

        ck_assert(j);
        journal_tick(j);
        journal_completed(j);
        journal_free(j);
    }
    ck_assert(segment_list(dir, &files, &count, NULL));
    ck_assert_uint_eq(count, 1);
    segment_list_free(files, count);
}
END_TEST

START_TEST(a_missing_segment_stops_the_directory)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_STRING second = segment_path(dir, 2, true);
    struct err err;

    ck_assert(j);
    for (unsigned i = 0; i < 300; i++)
        write_calls(j, i, i + 1);
    journal_free(j);
    ck_assert(unlink(second) == 0);
    ck_assert_ptr_null(journal_open_dir(&f.config, dir, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

START_TEST(a_directory_that_lost_all_segments_stops)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_STRING first = segment_path(dir, 1, false);
    struct err err;

    ck_assert(j);
    journal_free(j);
    ck_assert(unlink(first) == 0);
    ck_assert_ptr_null(journal_open_dir(&f.config, dir, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

START_TEST(a_directory_whose_making_was_cut_off_is_completed)
{
    struct err err;
    struct journal_home home;

    ck_assert(dir_ensure(dir, 0700, &err));
    journal_free(take_up());
    fixture_remove(dir);
    ck_assert(journal_home_take(dir, "inst-test", &home, &err));
    journal_home_clear(&home);
    journal_free(take_up());
}
END_TEST

/* Where the n-th frame behind the header ends. */
static size_t end_of_frame(struct span bytes, uint64_t base, unsigned n)
{
    struct frame frame;
    size_t size, at = 0;
    bool ended;

    for (unsigned i = 0; i <= n; i++, at += size)
        ck_assert(frame_read((struct span){bytes.data + at, bytes.len - at}, base + at, &frame,
                             &size, &ended, NULL) == 1);
    return at;
}

/* A recovery wrote three calls into `new` and lost power; so did two of them. What the next recovery writes there is
 * shorter: what is left of the first must not be taken for records, nor for a statement of a sync. */
START_TEST(a_spare_that_was_begun_is_clean_before_it_is_used)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_STRING begun = path_join(dir, "new");
    AUTO_CLEAR(buf) bytes = {.max = 1 << 24};
    AUTO_CLEAR(buf) rewritten = {.max = 1 << 24};
    AUTO_STRING path = NULL;
    AUTO_STRING next = segment_path(dir, 2, true);
    struct fixture_lines lines;
    uint64_t base;
    size_t cut;

    ck_assert(j);
    write_calls(j, 0, 3);
    keep();
    journal_free(j);
    put_back();
    journal_free(take_up());
    ck_assert(file_read(next, &rewritten, NULL));

    put_back();
    read_open(&bytes, &path, &base);
    cut = end_of_frame(buf_span(&bytes), base, 3);
    memset(bytes.data + cut, 0, bytes.len - cut);
    write_open(path, buf_span(&bytes));
    ck_assert(file_write_atomic(begun, 0600, buf_span(&rewritten), NULL));
    j = take_up();
    ck_assert(!file_exists(begun));
    keep();
    journal_free(j);
    put_back();
    journal_free(take_up());
    lines = read_lines();
    ck_assert_uint_eq(lines.count, 1);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(frames_that_cannot_follow_stop_the_directory)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_CLEAR(buf) bytes = {.max = 1 << 24};
    AUTO_STRING path = NULL;
    uint64_t base;
    size_t synced, end, size;
    struct frame frame;
    bool ended;
    struct err err;

    ck_assert(j);
    write_calls(j, 0, 1);
    keep();
    journal_free(j);
    put_back();
    read_open(&bytes, &path, &base);
    survey(buf_span(&bytes), base, &synced, &end);
    buf_truncate(&bytes, end);
    for (size_t at = 0; at < end; at += size)
        ck_assert(frame_read((struct span){bytes.data + at, end - at}, base + at, &frame, &size,
                             &ended, NULL) == 1);
    ck_assert(span_starts(frame.json, SPAN("{\"kind\":\"call\"")));
    {
        AUTO_STRING copy = xstrndup(frame.json.data, frame.json.len);

        frame_add(&bytes, span_of(copy));
        frame_place(bytes.data + end, base + end);
    }
    write_open(path, buf_span(&bytes));
    ck_assert_ptr_null(journal_open_dir(&f.config, dir, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "stands where"), "%s", err.text);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_recover");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_tail_torn_at_any_byte_of_the_last_batch_is_cut_there);
    tcase_add_test(t, any_byte_changed_below_the_last_stated_sync_stops_the_directory);
    tcase_add_test(t, a_damaged_directory_is_left_alone_and_the_next_is_taken);
    tcase_add_test(t, open_calls_end_as_their_last_progress_says_or_void);
    tcase_add_test(t, a_call_open_since_many_segments_is_found);
    tcase_add_test(t, ends_of_open_calls_stand_in_the_period_that_their_seal_counts);
    tcase_add_test(t, a_directory_that_nothing_was_written_to_does_not_grow);
    tcase_add_test(t, a_missing_segment_stops_the_directory);
    tcase_add_test(t, a_directory_that_lost_all_segments_stops);
    tcase_add_test(t, a_directory_whose_making_was_cut_off_is_completed);
    tcase_add_test(t, a_spare_that_was_begun_is_clean_before_it_is_used);
    tcase_add_test(t, frames_that_cannot_follow_stop_the_directory);
    return run_tests(t, "journal_recover");
}
