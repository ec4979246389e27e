/* test_journal_recover_faults.c - a recovery that is itself cut off, at every operation, comes to the same result when it is
 * begun again. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/journal_promises.h"

#define WRECKS 4

static unsigned error_at;

static void recover_only(bool with_thread)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct journal *j = journal_open_dir(&f.config, dir, NULL);

    (void)with_thread;
    journal_free(j);
    tell_count();
}

/* What a process leaves that dies when `part` of WRECKS of its operations are done; found a month later. */
static void make_wreck(const char *wreck, unsigned part)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    unsigned last = count_operations(FAULT_DIES, two_stories, false);
    struct promises p;

    start_afresh();
    ck_assert_int_eq(run(FAULT_DIES, last * part / WRECKS - 2, 0, two_stories, false, &p),
                     DISK_EXIT);
    free(p.told);
    fixture_remove(wreck);
    fixture_copy(dir, wreck);
    fixture_set_clock(FIXTURE_NOW + 60 * 86400 * NANOS_PER_SECOND);
}

static void put_wreck(const char *wreck)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    AUTO_STRING after = path_join(f.top, "after");

    fixture_remove(dir);
    fixture_remove(after);
    fixture_copy(wreck, dir);
}

/* A SEAL's time is that of the recovery; everything else is the same to the byte. */
static void check_same(const struct fixture_lines *a, const struct fixture_lines *b)
{
    ck_assert_uint_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        if (strncmp(a->line[i], "{\"kind\":\"seal\"", 14) != 0)
            ck_assert_str_eq(a->line[i], b->line[i]);
        else
            ck_assert_str_eq(strstr(a->line[i], "\"records\""), strstr(b->line[i], "\"records\""));
}

/* Recovers the wreck undisturbed: what it comes to, and in how many operations. */
static unsigned recover_whole(const char *wreck, struct fixture_lines *out)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct promises p;
    unsigned operations;

    put_wreck(wreck);
    ck_assert_int_eq(run(FAULT_DIES, 0, 0, recover_only, false, &p), 0);
    operations = p.operations;
    free(p.told);
    fixture_read(dir, out);
    ck_assert_uint_ge(fixture_of_kind(out, "seal"), 2);
    return operations;
}

static void recover_again(const struct fixture_lines *whole)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines again;
    struct promises p;

    ck_assert_int_eq(run(FAULT_NONE, 0, 0, recover_only, false, &p), 0);
    free(p.told);
    fixture_read(dir, &again);
    check_same(whole, &again);
    fixture_lines_clear(&again);
}

static void cut_recovery_everywhere(enum fault fault, unsigned seeds)
{
    AUTO_STRING wreck = path_join(f.top, "wreck");

    for (unsigned part = 1; part <= WRECKS; part++) {
        struct fixture_lines whole;
        unsigned last;

        make_wreck(wreck, part);
        last = recover_whole(wreck, &whole);
        for (unsigned n = 1; n <= last; n += EVERY) {
            for (unsigned seed = 0; seed < seeds; seed++) {
                struct promises p;
                int status;

                put_wreck(wreck);
                status = run(fault, n, n * 17 + seed, recover_only, false, &p);
                free(p.told);
                take_what_is_left(fault, status);
                recover_again(&whole);
            }
        }
        fixture_lines_clear(&whole);
    }
}

START_TEST(recovery_that_dies_anywhere_comes_to_the_same_result)
{
    cut_recovery_everywhere(FAULT_DIES, 1);
}
END_TEST

START_TEST(recovery_that_fails_anywhere_comes_to_the_same_result)
{
    cut_recovery_everywhere(FAULT_EIO, 1);
}
END_TEST

START_TEST(recovery_that_loses_power_anywhere_comes_to_the_same_result)
{
    cut_recovery_everywhere(FAULT_POWER, 1);
}
END_TEST

START_TEST(recovery_that_dies_again_and_again_comes_to_the_same_result)
{
    AUTO_STRING wreck = path_join(f.top, "wreck");
    struct fixture_lines whole;
    struct promises p;
    unsigned last;
    int status;

    make_wreck(wreck, WRECKS - 1);
    last = recover_whole(wreck, &whole);
    for (int round = 0; round < 10 / EVERY; round++) {
        put_wreck(wreck);
        do {
            status =
                run(FAULT_DIES, 1 + (unsigned)rand_below(last + 5), 0, recover_only, false, &p);
            free(p.told);
        } while (status == DISK_EXIT);
        ck_assert_int_eq(status, 0);
        recover_again(&whole);
    }
    fixture_lines_clear(&whole);
}
END_TEST

/* An error once, another try that works, three calls, and then the power goes. */
static void try_twice(bool with_thread)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct journal *j;

    (void)with_thread;
    disk_also_fail(error_at);
    j = journal_open_dir(&f.config, dir, NULL);
    if (!j)
        j = journal_open_dir(&f.config, dir, NULL);
    for (unsigned i = 1000; j && i < 1003; i++) {
        if (start_call(j, i))
            end_call(j, i);
        journal_completed(j);
    }
    disk_lose_power();
}

START_TEST(what_is_told_after_a_failed_recovery_survives_a_loss_of_power)
{
    AUTO_STRING wreck = path_join(f.top, "wreck");
    size_t told = 0;

    for (unsigned part = 1; part <= WRECKS; part++) {
        struct fixture_lines whole;
        unsigned last;

        make_wreck(wreck, part);
        last = recover_whole(wreck, &whole);
        fixture_lines_clear(&whole);
        for (error_at = 1; error_at <= last; error_at += EVERY) {
            struct promises p;

            put_wreck(wreck);
            ck_assert_int_eq(run(FAULT_POWER, 0, error_at, try_twice, false, &p), DISK_EXIT);
            take_what_is_left(FAULT_POWER, DISK_EXIT);
            check_recovery(&p);
            told += p.count;
            free(p.told);
        }
    }
    ck_assert_uint_gt(told, 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_recover_faults");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, recovery_that_dies_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_fails_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_loses_power_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_dies_again_and_again_comes_to_the_same_result);
    tcase_add_test(t, what_is_told_after_a_failed_recovery_survives_a_loss_of_power);
    return run_tests(t, "journal_recover_faults");
}
