/* test_journal_writer.c - which directory a process takes, and which writer it is then: never one that another holds, never a
 * copy. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/archive.h"
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
    struct journal *second = fixture_without_thread(&f);
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
    struct journal *j = fixture_without_thread(&f);
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
    struct journal *j = fixture_without_thread(&f);
    struct err err;

    journal_free(j);
    fixture_remove(f.archive);
    j = fixture_without_thread(&f);
    journal_free(j);
    ck_assert(file_write_atomic(f.archive, 0600, SPAN("no directory"), &err));
    j = fixture_without_thread(&f);
    journal_free(j);
}
END_TEST

START_TEST(another_installations_directory_is_refused)
{
    struct journal *j = fixture_without_thread(&f);
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

int main(void)
{
    TCase *t = tcase_create("journal_writer");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_next_process_goes_on_with_the_same_writer_and_numbers);
    tcase_add_test(t, a_directory_belongs_to_one_holder_at_a_time);
    tcase_add_test(t, processes_that_race_for_directories_never_share_one);
    tcase_add_test(t, a_writer_is_registered_before_its_first_call);
    tcase_add_test(t, without_its_archive_a_known_writer_still_starts);
    tcase_add_test(t, another_installations_directory_is_refused);
    tcase_add_test(t, a_copy_of_a_directory_is_never_taken_up);
    return run_tests(t, "journal_writer");
}
