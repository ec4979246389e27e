/* test_archive_release.c - which archived segments leave the journal, and which must stay. */
#include <check.h>
#include <stdlib.h>

#include "billing/archive.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/archive_fixture.h"

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
    journal_begin(j, &e, NULL, NULL);
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

int main(void)
{
    TCase *t = tcase_create("archive_release");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_segment_leaves_when_archived_closed_and_old_enough);
    tcase_add_test(t, a_segment_of_a_period_that_is_not_closed_stays);
    tcase_add_test(t, what_recovery_needs_stays);
    return run_tests(t, "archive_release");
}
