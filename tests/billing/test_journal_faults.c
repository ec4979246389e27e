/* test_journal_faults.c - a fixed story is told again and again, and at its n-th disk operation something goes wrong, for every
 * n; and a process is killed at any moment. Whatever is left keeps every promise. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/journal_thread.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/journal_promises.h"

static void fail_everywhere(enum fault fault, unsigned seeds, bool with_thread)
{
    unsigned last = count_operations(fault, two_stories, with_thread), ended = 0;

    for (unsigned n = 1; n <= last + 1; n += EVERY) {
        for (unsigned seed = 0; seed < seeds; seed++) {
            struct promises p;
            int status;

            start_afresh();
            status = run(fault, n, n * 31 + seed, two_stories, with_thread, &p);
            ck_assert_msg(status == 0 || status == JOURNAL_EXIT || status == DISK_EXIT ||
                              (fault == FAULT_MEMORY && status == 1000 + SIGABRT),
                          "operation %u: the process ended with %d", n, status);
            ended += status != 0;
            take_what_is_left(fault, status);
            check_recovery(&p);
            free(p.told);
        }
    }
    ck_assert_uint_gt(ended, with_thread ? 3 : last * seeds / EVERY / 3);
}

START_TEST(an_error_of_any_operation_breaks_no_promise)
{
    fail_everywhere(FAULT_EIO, 1, false);
}
END_TEST

START_TEST(an_error_in_the_thread_breaks_no_promise)
{
    fail_everywhere(FAULT_EIO, 1, true);
}
END_TEST

START_TEST(a_disk_full_at_any_operation_breaks_no_promise)
{
    fail_everywhere(FAULT_ENOSPC, 1, false);
}
END_TEST

START_TEST(dying_at_any_operation_breaks_no_promise)
{
    fail_everywhere(FAULT_DIES, 1, false);
}
END_TEST

START_TEST(losing_power_at_any_operation_breaks_no_promise)
{
    fail_everywhere(FAULT_POWER, 2, false);
}
END_TEST

START_TEST(memory_refused_at_any_moment_breaks_no_promise)
{
    fail_everywhere(FAULT_MEMORY, 1, false);
}
END_TEST

static void write_until_killed(unsigned from)
{
    struct record_heads none;
    struct journal_tail *tail;
    struct journal *j = journal_open(&f.config, NULL, NULL);

    if (!j)
        _exit(1);
    none = *journal_heads(j);
    tail = journal_tail_new(j, &none, NULL);
    if (!tail || !journal_start(j, f.notify_fd, NULL))
        _exit(1);
    for (unsigned i = from;; i++) {
        start_call(j, i);
        if (i > from + 3 && (i - 3) % 11 != 0)
            end_call(j, i - 3);
        journal_completed(j);
        ship(tail);
        if (i % 16 == 0)
            usleep(200);
    }
}

START_TEST(a_process_killed_at_any_moment_breaks_no_promise)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    size_t promised = 0;

    for (unsigned round = 0; round < 30; round++) {
        int pipe_fds[2];
        struct promises p;
        struct journal *j;
        struct err err;
        pid_t child;

        ck_assert(pipe(pipe_fds) == 0);
        child = fork();
        if (child == 0) {
            close(pipe_fds[0]);
            report_fd = pipe_fds[1];
            write_until_killed(round * 10000);
        }
        close(pipe_fds[1]);
        usleep((useconds_t)(4000 + rand_below(12000)));
        kill(child, SIGKILL);
        read_promises(pipe_fds[0], &p);
        waitpid(child, NULL, 0);
        j = journal_open_dir(&f.config, dir, &err);
        ck_assert_msg(j || err.code == ERR_NOT_FOUND, "%s", err.text);
        journal_free(j);
        fixture_read(dir, &lines);
        for (size_t k = 0; k < p.count; k++) {
            if (p.told[k].what == TOLD_SHIPPED)
                ck_assert(holds_shipped(&lines, &p.told[k]));
            else
                ck_assert_uint_eq(fixture_ends(&lines, p.told[k].i), 1);
        }
        promised += p.count;
        check_no_call_is_open(dir);
        fixture_lines_clear(&lines);
        free(p.told);
        fixture_remove(f.root);
    }
    ck_assert_uint_gt(promised, 300);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_faults");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, an_error_of_any_operation_breaks_no_promise);
    tcase_add_test(t, an_error_in_the_thread_breaks_no_promise);
    tcase_add_test(t, a_disk_full_at_any_operation_breaks_no_promise);
    tcase_add_test(t, dying_at_any_operation_breaks_no_promise);
    tcase_add_test(t, losing_power_at_any_operation_breaks_no_promise);
    tcase_add_test(t, memory_refused_at_any_moment_breaks_no_promise);
    tcase_add_test(t, a_process_killed_at_any_moment_breaks_no_promise);
    return run_tests(t, "journal_faults");
}
