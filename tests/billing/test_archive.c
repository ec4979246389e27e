/* The archive: what the journal sealed, once and for ever, and every way in which that can be found to be otherwise. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/faulty_disk.h"
#include "tests/billing/journal_fixture.h"

#define DAY (86400 * NANOS_PER_SECOND)

static struct journal_fixture f;
static char *dir;

static void set_up(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    fixture_open(&f);
    dir = fixture_dir(&f, 1);
}

static void tear_down(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    free(dir);
    fixture_clear(&f);
}

/* `segments` sealed ones of `calls` calls each, a day apart. The writer's name is returned. */
static char *fill(unsigned segments, unsigned calls)
{
    struct err err;
    struct journal *j = journal_open(&f.config, NULL, &err);
    static unsigned i;
    char *writer;

    ck_assert_msg(j, "%s", err.text);
    writer = xstrdup(journal_writer(j));
    for (unsigned s = 0; s < segments; s++) {
        for (unsigned k = 0; k < calls; k++)
            fixture_call(j, i++, NULL, NULL);
        journal_seal(j, NULL, NULL);
        journal_completed(j);
        fixture_set_clock(clock_now() + DAY);
    }
    journal_free(j);
    return writer;
}

static size_t add(void)
{
    struct err err;
    size_t added;

    ck_assert_msg(archive_add_sealed(f.archive, f.root, &added, &err), "%s", err.text);
    return added;
}

/* Reads everything; the lines, or -1 and why. */
static int read_archive(const char *writer, struct fixture_lines *out, struct err *err)
{
    AUTO(archive_reader) r = archive_reader_open(f.archive, writer, err);
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got = -1;

    memset(out, 0, sizeof *out);
    while (r && (got = archive_reader_next(r, &head, &line, &crc, err)) == 1) {
        ck_assert_uint_eq(crc, crc32c(0, line.data, line.len));
        out->line = xrealloc_array(out->line, out->count + 1, sizeof *out->line);
        out->line[out->count++] = xstrndup(line.data, line.len);
    }
    return got;
}

static void check_same_as_journal(const char *writer)
{
    struct fixture_lines journal, archive;
    struct err err;

    fixture_read(dir, &journal);
    ck_assert_msg(read_archive(writer, &archive, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(archive.count, journal.count);
    for (size_t i = 0; i < journal.count; i++)
        ck_assert_str_eq(archive.line[i], journal.line[i]);
    fixture_lines_clear(&journal);
    fixture_lines_clear(&archive);
}

static void expect_damage(const char *writer, const char *words)
{
    struct fixture_lines lines;
    struct err err;

    ck_assert_msg(read_archive(writer, &lines, &err) == -1, "not found: %s", words);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, words), "%s", err.text);
    fixture_lines_clear(&lines);
}

START_TEST(the_archive_has_the_records_of_sealed_segments_byte_for_byte)
{
    AUTO_STRING writer = fill(3, 20);

    ck_assert_uint_eq(add(), 3);
    check_same_as_journal(writer);
    ck_assert_uint_eq(add(), 0);
    free(fill(2, 5));
    ck_assert_uint_eq(add(), 2);
    check_same_as_journal(writer);
}
END_TEST

START_TEST(each_file_names_the_sha256_of_the_one_before)
{
    AUTO_STRING writer = fill(3, 3);
    char sha[SHA256_HEX] = "", next[SHA256_HEX];
    struct archive_header h;
    struct err err;

    add();
    for (uint64_t s = 1; s <= 3; s++) {
        AUTO_STRING path = archive_path(f.archive, writer, s);

        ck_assert_msg(archive_file_digest(path, &h, next, &err), "%s", err.text);
        ck_assert_str_eq(h.previous, sha);
        ck_assert_uint_eq(h.segment, s);
        ck_assert_uint_eq(h.records, 3);
        ck_assert_uint_eq(h.calls, 3);
        ck_assert_uint_eq(h.catalogue, 0);
        ck_assert_int_le(h.first_request_ms, h.last_request_ms);
        ck_assert_int_le(h.first_at, h.last_at);
        ck_assert_int_ge(h.first_at, FIXTURE_NOW - DAY);
        memcpy(sha, next, sizeof sha);
    }
}
END_TEST

START_TEST(an_open_segment_is_not_archived)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    size_t durable = 0;

    fixture_call(j, 1, fixture_count, &durable);
    journal_completed(j);
    ck_assert_uint_eq(durable, 1);
    ck_assert_uint_eq(add(), 0);
    journal_free(j);
    ck_assert_uint_eq(add(), 1);
}
END_TEST

START_TEST(a_seal_is_archived_after_the_records_it_counts)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    AUTO_STRING writer = xstrdup(journal_writer(j));
    struct fixture_lines lines;
    struct seal seal;
    struct err err;

    fixture_call(j, 1, NULL, NULL);
    fixture_set_clock(FIXTURE_NOW + 20 * DAY);
    journal_tick(j);
    journal_completed(j);
    ck_assert_uint_eq(add(), 1);
    ck_assert_msg(read_archive(writer, &lines, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(lines.count, 2);
    ck_assert(seal_parse(span_of(lines.line[1]), &seal, &err));
    ck_assert_uint_eq(seal.totals.events, 1);
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

/* Some bits of a zstd frame's head (its window) do not change what comes out: those need not be found. */
START_TEST(no_changed_byte_of_a_file_changes_what_is_read)
{
    AUTO_STRING writer = fill(2, 10);
    AUTO_STRING path = NULL;
    AUTO_CLEAR(buf) bytes;
    size_t harmless = 0;

    add();
    path = archive_path(f.archive, writer, 1);
    buf_init(&bytes, 1 << 20);
    ck_assert(file_read(path, &bytes, NULL));
    for (size_t at = 0; at < bytes.len; at++) {
        struct fixture_lines lines;
        struct err err;
        char kept = bytes.data[at];

        bytes.data[at] ^= (char)(1 << rand_below(8));
        ck_assert(unlink(path) == 0 && file_write_atomic(path, 0600, buf_span(&bytes), &err));
        if (read_archive(writer, &lines, &err) == 0) {
            check_same_as_journal(writer);
            harmless++;
        } else {
            ck_assert_int_eq(err.code, ERR_CORRUPT);
        }
        fixture_lines_clear(&lines);
        bytes.data[at] = kept;
    }
    ck_assert_uint_lt(harmless, bytes.len / 20);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_found)
{
    AUTO_STRING writer = fill(1, 10);
    AUTO_STRING path = NULL;
    struct stat st;

    add();
    path = archive_path(f.archive, writer, 1);
    ck_assert(stat(path, &st) == 0);
    for (off_t size = st.st_size - 1; size >= 0; size -= 1 + size / 50) {
        struct fixture_lines lines;
        struct err err;

        ck_assert(truncate(path, size) == 0);
        ck_assert_int_eq(read_archive(writer, &lines, &err), -1);
        ck_assert_int_eq(err.code, ERR_CORRUPT);
        fixture_lines_clear(&lines);
    }
}
END_TEST

/* Writes file `segment` of `writer` anew from lines, as an honest zstd file. */
static void forge(const char *writer, uint64_t segment, const struct archive_header *h,
                  char *const *lines, size_t count)
{
    AUTO_STRING path = archive_path(f.archive, writer, segment);
    AUTO_CLEAR(buf) header;
    char sha[SHA256_HEX];

    unlink(path);
    {
        AUTO(zstd_writer) w = zstd_writer_open(path, NULL);

        buf_init(&header, RECORD_BYTES_MAX);
        archive_header_write(h, &header);
        buf_add_char(&header, '\n');
        ck_assert(zstd_writer_add(w, buf_span(&header), NULL));
        for (size_t i = 0; i < count; i++)
            ck_assert(zstd_writer_add(w, span_of(lines[i]), NULL) &&
                      zstd_writer_add(w, SPAN("\n"), NULL));
        ck_assert(zstd_writer_finish(w, sha, NULL));
    }
}

START_TEST(a_forged_file_is_found_by_chain_count_or_numbers)
{
    AUTO_STRING writer = fill(2, 10);
    AUTO_STRING path = NULL;
    struct archive_header h, bad;
    struct fixture_lines lines;
    struct err err;
    char sha[SHA256_HEX];

    add();
    ck_assert_int_eq(read_archive(writer, &lines, &err), 0);
    path = archive_path(f.archive, writer, 1);
    ck_assert(archive_file_digest(path, &h, sha, &err));

    forge(writer, 1, &h, lines.line, 10);
    check_same_as_journal(writer);
    forge(writer, 1, &h, lines.line, 9);
    expect_damage(writer, "states 10 records, but has 9");
    bad = h;
    bad.records = 9;
    forge(writer, 1, &bad, lines.line, 9);
    expect_damage(writer, "does not hold what its first line states");
    bad = h;
    bad.last_at++;
    bad.last_request_ms++;
    forge(writer, 1, &bad, lines.line, 10);
    expect_damage(writer, "does not name the SHA-256");
    forge(writer, 1, &h, lines.line + 1, 10);
    expect_damage(writer, "stands where");
    bad = h;
    bad.catalogue = 1;
    forge(writer, 1, &bad, lines.line, 10);
    expect_damage(writer, "does not hold what its first line states");
    bad = h;
    bad.heads.at[SIDE_MODEL][63].n++;
    forge(writer, 1, &bad, lines.line, 10);
    expect_damage(writer, "does not hold what its first line states");
    bad = h;
    bad.segment = 2;
    forge(writer, 1, &bad, lines.line, 10);
    expect_damage(writer, "it is segment 2");
    bad = h;
    memset(bad.writer + 2, 'x', 16);
    forge(writer, 1, &bad, lines.line, 10);
    expect_damage(writer, "of writer w-xxxx");
    forge(writer, 1, &h, lines.line, 10);
    check_same_as_journal(writer);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(a_file_missing_in_the_middle_is_found)
{
    AUTO_STRING writer = fill(3, 3);
    AUTO_STRING path = NULL;
    struct err err;

    add();
    path = archive_path(f.archive, writer, 2);
    ck_assert(unlink(path) == 0);
    ck_assert_ptr_null(archive_reader_open(f.archive, writer, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

/* As if another host's console had been at it. */
START_TEST(a_file_that_stands_there_already_must_say_the_same)
{
    AUTO_STRING writer = fill(1, 3);
    AUTO_STRING path = NULL;
    AUTO_STRING temporary = NULL;
    size_t added;
    struct err err;

    add();
    path = archive_path(f.archive, writer, 1);
    temporary = xasprintf("%s.new-leftover", path);
    ck_assert(file_write_atomic(temporary, 0600, SPAN("cut off"), NULL));
    free(fill(1, 3));
    add();
    ck_assert(file_exists(temporary));
    ck_assert(unlink(path) == 0);
    free(path);
    path = archive_path(f.archive, writer, 2);
    ck_assert(unlink(path) == 0);
    ck_assert_uint_eq(add(), 2);
    ck_assert(!file_exists(temporary));
    check_same_as_journal(writer);

    ck_assert(unlink(path) == 0);
    ck_assert(file_write_atomic(path, 0600, SPAN("something else"), NULL));
    free(fill(1, 3));
    ck_assert(!archive_add_sealed(f.archive, f.root, &added, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
}
END_TEST

START_TEST(damage_in_one_journal_does_not_keep_the_others_from_the_archive)
{
    struct journal *first = journal_open(&f.config, NULL, NULL);
    AUTO_STRING path = segment_path(dir, 1, true);
    AUTO_STRING second_writer = fill(1, 4);
    struct fixture_lines lines;
    size_t added;
    struct err err;
    int fd;

    fixture_call(first, 900, NULL, NULL);
    journal_completed(first);
    journal_free(first);
    fd = open(path, O_WRONLY);
    ck_assert(pwrite(fd, "x", 1, 600) == 1);
    close(fd);
    ck_assert(!archive_add_sealed(f.archive, f.root, &added, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "00000001.seg, offset"), "%s", err.text);
    ck_assert_uint_eq(added, 1);
    ck_assert_int_eq(read_archive(second_writer, &lines, &err), 0);
    ck_assert_uint_eq(lines.count, 4);
    fixture_lines_clear(&lines);
}
END_TEST

START_TEST(a_writer_is_registered_once_and_for_one_installation)
{
    struct period october = {"2026-10"}, november = {"2026-11"};
    const char *writer = "w-0123456789abcdef";
    struct archive_writer *writers;
    size_t count;
    struct err err;

    ck_assert(archive_register(f.archive, "inst-1", writer, october, &err));
    ck_assert(archive_register(f.archive, "inst-1", writer, november, &err));
    ck_assert(!archive_register(f.archive, "inst-2", writer, october, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert(archive_writers(f.archive, &writers, &count, &err));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(writers[0].first_period.text, "2026-10");
    ck_assert_uint_eq(writers[0].segments, 0);
    free(writers);
}
END_TEST

START_TEST(an_archive_that_does_not_exist_yet_has_no_writers)
{
    struct archive_writer *writers;
    size_t count;

    ck_assert(archive_writers("/nonexistent", &writers, &count, NULL));
    ck_assert_uint_eq(count, 0);
    free(writers);
}
END_TEST

static size_t release(int64_t age)
{
    struct err err;
    size_t removed;

    ck_assert_msg(archive_release_segments(f.archive, f.root, age, &removed, &err), "%s", err.text);
    return removed;
}

static void close_period(const char *period)
{
    AUTO_STRING path = xasprintf("%s/closes/%s", f.archive, period);

    ck_assert(dir_ensure(path, 0755, NULL));
}

START_TEST(a_segment_leaves_when_archived_closed_and_old_enough)
{
    AUTO_STRING writer = fill(8, 3);
    struct record_heads none = {0};
    struct journal *j;

    fixture_set_clock(FIXTURE_NOW + 40 * DAY);
    close_period("2026-10");
    ck_assert_uint_eq(release(35 * DAY), 0);
    add();
    ck_assert_uint_eq(release(100 * DAY), 0);
    ck_assert_uint_eq(release(37 * DAY + DAY / 2), 3);
    ck_assert_uint_eq(release(37 * DAY + DAY / 2), 0);
    j = journal_open(&f.config, NULL, NULL);
    ck_assert(j);
    ck_assert(!record_heads_equal(journal_first_heads(j), &none));
    ck_assert_uint_eq(release(0), 5);
    {
        AUTO(journal_tail) t = journal_tail_new(j, journal_heads(j), NULL);
        struct record_head head;
        struct span line;
        uint32_t crc;

        ck_assert(t);
        ck_assert_int_eq(journal_tail_next(t, &head, &line, &crc, NULL), 0);
        ck_assert(journal_tail_at_end(t));
    }
    journal_free(j);
    j = journal_open(&f.config, NULL, NULL);
    ck_assert(j);
    journal_free(j);
}
END_TEST

START_TEST(a_segment_of_a_period_that_is_not_closed_stays)
{
    free(fill(20, 2));
    fixture_set_clock(FIXTURE_NOW + 100 * DAY);
    add();
    ck_assert_uint_eq(release(0), 0);
    close_period("2026-10");
    ck_assert_uint_ge(release(0), 10);
    ck_assert_uint_eq(release(0), 0);
    close_period("2026-11");
    ck_assert_uint_gt(release(0), 0);
}
END_TEST

START_TEST(what_recovery_needs_stays)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct event e = fixture_event(j, 1000);
    struct fixture_lines lines;
    AUTO_STRING copy = path_join(f.top, "copy");

    close_period("2026-10");
    close_period("2026-11");
    fixture_call(j, 999, NULL, NULL);
    journal_seal(j, NULL, NULL);
    journal_completed(j);
    ck_assert(journal_reserve(j, NULL));
    journal_begin(j, &e);
    for (unsigned s = 0; s < 6; s++) {
        fixture_call(j, s, NULL, NULL);
        journal_seal(j, NULL, NULL);
        journal_completed(j);
    }
    add();
    fixture_set_clock(FIXTURE_NOW + DAY);
    ck_assert_uint_eq(release(0), 1);
    fixture_copy(dir, copy);
    journal_free(j);
    fixture_remove(dir);
    fixture_copy(copy, dir);
    j = journal_open(&f.config, NULL, NULL);
    ck_assert_str_eq(journal_dir(j), dir);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(fixture_ends(&lines, 1000), 1);
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

/* Archiving with the n-th operation or allocation failing, for every n; afterwards it is completed. */
static void fail_everywhere(enum fault fault)
{
    AUTO_STRING writer = fill(2, 5);
    AUTO_STRING files = archive_dir(f.archive, writer);
    int status;

    for (unsigned n = 1;; n++) {
        pid_t child;

        fixture_remove(files);
        child = fork();
        if (child == 0) {
            size_t added;
            bool ok;

            if (!freopen("/dev/null", "w", stderr))
                _exit(1);
            disk_arm(fault, n, NULL, NULL, 0);
            ok = archive_add_sealed(f.archive, f.root, &added, NULL);
            _exit(ok && disk_count() < n ? 0 : 2);
        }
        ck_assert(waitpid(child, &status, 0) == child);
        ck_assert(!WIFSIGNALED(status) || WTERMSIG(status) == SIGABRT);
        ck_assert_uint_le(add(), 2);
        check_same_as_journal(writer);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        ck_assert_uint_lt(n, 2000);
    }
}

START_TEST(archiving_that_fails_anywhere_is_completed_by_the_next)
{
    fail_everywhere(FAULT_EIO);
}
END_TEST

START_TEST(archiving_that_dies_anywhere_is_completed_by_the_next)
{
    fail_everywhere(FAULT_DIES);
}
END_TEST

START_TEST(archiving_without_memory_is_completed_by_the_next)
{
    fail_everywhere(FAULT_MEMORY);
}
END_TEST

START_TEST(rivals_archive_the_same_segments_once)
{
    AUTO_STRING writer = fill(6, 10);
    pid_t rivals[4];

    for (int i = 0; i < 4; i++) {
        rivals[i] = fork();
        if (rivals[i] == 0) {
            size_t added;

            _exit(archive_add_sealed(f.archive, f.root, &added, NULL) ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;

        ck_assert(waitpid(rivals[i], &status, 0) == rivals[i]);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    check_same_as_journal(writer);
}
END_TEST

START_TEST(long_lines_pass_and_longer_ones_are_refused)
{
    AUTO_STRING path = path_join(f.top, "lines.zst");
    char *text = xcalloc(1, 300001);
    char sha[SHA256_HEX], back[SHA256_HEX];
    struct span line;
    struct err err;

    memset(text, 'a', 300000);
    text[300000] = '\n';
    {
        AUTO(zstd_writer) w = zstd_writer_open(path, &err);

        ck_assert(zstd_writer_add(w, (struct span){text, 300001}, &err));
        ck_assert(zstd_writer_add(w, SPAN("\nshort\n"), &err));
        ck_assert(zstd_writer_finish(w, sha, &err));
    }
    {
        AUTO(zstd_reader) r = zstd_reader_open(path, &err);

        ck_assert_int_eq(zstd_reader_line(r, 300000, &line, &err), 1);
        ck_assert_uint_eq(line.len, 300000);
        ck_assert_int_eq(zstd_reader_line(r, 300000, &line, &err), 1);
        ck_assert_uint_eq(line.len, 0);
        ck_assert_int_eq(zstd_reader_line(r, 300000, &line, &err), 1);
        ck_assert(span_equal(line, SPAN("short")));
        ck_assert_int_eq(zstd_reader_line(r, 300000, &line, &err), 0);
        ck_assert_int_eq(zstd_reader_line(r, 300000, &line, &err), 0);
        ck_assert_uint_eq(zstd_reader_line_number(r), 3);
        zstd_reader_sha256(r, back);
        ck_assert_str_eq(back, sha);
    }
    {
        AUTO(zstd_reader) r = zstd_reader_open(path, &err);

        ck_assert_int_eq(zstd_reader_line(r, 299999, &line, &err), -1);
        ck_assert_int_eq(err.code, ERR_CORRUPT);
    }
    free(text);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("archive");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, the_archive_has_the_records_of_sealed_segments_byte_for_byte);
    tcase_add_test(t, each_file_names_the_sha256_of_the_one_before);
    tcase_add_test(t, an_open_segment_is_not_archived);
    tcase_add_test(t, a_seal_is_archived_after_the_records_it_counts);
    tcase_add_test(t, no_changed_byte_of_a_file_changes_what_is_read);
    tcase_add_test(t, a_file_cut_anywhere_is_found);
    tcase_add_test(t, a_forged_file_is_found_by_chain_count_or_numbers);
    tcase_add_test(t, a_file_missing_in_the_middle_is_found);
    tcase_add_test(t, a_file_that_stands_there_already_must_say_the_same);
    tcase_add_test(t, damage_in_one_journal_does_not_keep_the_others_from_the_archive);
    tcase_add_test(t, a_writer_is_registered_once_and_for_one_installation);
    tcase_add_test(t, an_archive_that_does_not_exist_yet_has_no_writers);
    tcase_add_test(t, a_segment_leaves_when_archived_closed_and_old_enough);
    tcase_add_test(t, a_segment_of_a_period_that_is_not_closed_stays);
    tcase_add_test(t, what_recovery_needs_stays);
    tcase_add_test(t, archiving_that_fails_anywhere_is_completed_by_the_next);
    tcase_add_test(t, archiving_that_dies_anywhere_is_completed_by_the_next);
    tcase_add_test(t, archiving_without_memory_is_completed_by_the_next);
    tcase_add_test(t, rivals_archive_the_same_segments_once);
    tcase_add_test(t, long_lines_pass_and_longer_ones_are_refused);
    return run_tests(t, "archive");
}
