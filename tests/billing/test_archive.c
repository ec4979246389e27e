/* test_archive.c - the archive holds what the journal sealed, once and for ever, whatever fails or races while it is put
 * there. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/archive_fixture.h"
#include "tests/billing/faulty_disk.h"

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
    tcase_add_test(t, a_writer_is_registered_once_and_for_one_installation);
    tcase_add_test(t, an_archive_that_does_not_exist_yet_has_no_writers);
    tcase_add_test(t, archiving_that_fails_anywhere_is_completed_by_the_next);
    tcase_add_test(t, archiving_that_dies_anywhere_is_completed_by_the_next);
    tcase_add_test(t, archiving_without_memory_is_completed_by_the_next);
    tcase_add_test(t, rivals_archive_the_same_segments_once);
    tcase_add_test(t, long_lines_pass_and_longer_ones_are_refused);
    return run_tests(t, "archive");
}
