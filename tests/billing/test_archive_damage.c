/* test_archive_damage.c - every way in which a file of the archive, or a journal, can be found to be other than it was. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/archive_fixture.h"

static void expect_damage(const char *writer, const char *words)
{
    struct fixture_lines lines;
    struct err err;

    ck_assert_msg(read_archive(writer, &lines, &err) == -1, "not found: %s", words);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, words), "%s", err.text);
    fixture_lines_clear(&lines);
}

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

int main(void)
{
    TCase *t = tcase_create("archive_damage");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, no_changed_byte_of_a_file_changes_what_is_read);
    tcase_add_test(t, a_file_cut_anywhere_is_found);
    tcase_add_test(t, a_forged_file_is_found_by_chain_count_or_numbers);
    tcase_add_test(t, a_file_missing_in_the_middle_is_found);
    tcase_add_test(t, a_file_that_stands_there_already_must_say_the_same);
    tcase_add_test(t, damage_in_one_journal_does_not_keep_the_others_from_the_archive);
    return run_tests(t, "archive_damage");
}
