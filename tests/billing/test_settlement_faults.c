/* Closing while the disk fails: whatever fails, the period is closed whole or not at all, and
 * closing again succeeds. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "billing/closes.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/settlement_fixture.h"

#define DECEMBER "2026-12-01T09:00:00Z"

/* The n-th call of a kind fails; 0: none does. */
static int writes_left, syncs_left, renames_left;

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

static bool is_due(int *left, int why)
{
    if (*left == 0 || --*left > 0)
        return false;
    errno = why;
    return true;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    return is_due(&writes_left, ENOSPC) ? -1 : __real_write(fd, bytes, n);
}

int __wrap_fsync(int fd)
{
    return is_due(&syncs_left, EIO) ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return is_due(&renames_left, EIO) ? -1 : __real_rename(from, to);
}

/* Whether the n-th call failed, that is: there were as many. */
static bool fails_at(struct world *w, struct period p, int *counter, int n)
{
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_CLEAR(settlement_report) again = {0};
    AUTO_STRING dir = close_dir(w->archive, p);
    const struct settlement_proof proof = {.dir = dir, .archive = w->archive};
    struct settlement_verdict verdict;
    struct err err = {0};
    bool ok, failed;

    *counter = n;
    ok = settlement_close(&w->sources, p, NULL, &report, &err);
    failed = *counter == 0;
    *counter = 0;
    ck_assert_msg(!ok || !failed, "call %d failed unnoticed", n);
    ck_assert(ok || err.text[0] != '\0');
    if (!ok && close_exists(w->archive, p))
        ck_assert_msg(settlement_verify(&proof, &verdict, &err), "%s", err.text);
    ck_assert_msg(settlement_close(&w->sources, p, NULL, &again, &err), "%s", err.text);
    ck_assert_msg(settlement_verify(&proof, &verdict, &err), "%s", err.text);
    run_command("rm -r %s", dir);
    return failed;
}

/* In December a part of a call of November is given back, and a call of December. */
static struct world *world_with_refunds(void)
{
    struct world *w = world_november("2027-01-01T09:00:00Z");
    AUTO_CLEAR(settlement_report) report = {0};
    struct refund r;
    struct event e;
    struct err err = {0};

    ck_assert_msg(settlement_close(&w->sources, period_text("2026-11"), NULL, &report, &err), "%s",
                  err.text);
    world_forget_sums(w);
    e = world_event(w, "acme", "ann/duo", 0, "ann:2,bob:1", 7000, 77, "2026-12-03T10:00:00.000Z");
    world_write(w, 0, &e);
    r = world_refund(&w->event[1], "op-1", 1001, "2026-12-04T10:00:00.000Z");
    world_write_refund(w, 0, &r, true);
    r = world_refund(&e, "op-2", 7, "2026-12-05T10:00:00.000Z");
    world_write_refund(w, 1, &r, true);
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    return w;
}

static void fail_every(int *counter, int at_least)
{
    struct world *worlds[] = {world_november(DECEMBER), world_with_refunds()};
    const char *const periods[] = {"2026-11", "2026-12"};

    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
        int n = 1;

        world_clock(i ? "2027-01-01T09:00:00Z" : DECEMBER);
        while (fails_at(worlds[i], period_text(periods[i]), counter, n))
            n++;
        ck_assert_int_gt(n, at_least);
        world_free(worlds[i]);
    }
}

START_TEST(any_write_may_fail)
{
    fail_every(&writes_left, 6);
}
END_TEST

START_TEST(any_sync_may_fail)
{
    fail_every(&syncs_left, 7);
}
END_TEST

START_TEST(any_rename_may_fail)
{
    fail_every(&renames_left, 1);
}
END_TEST

/* Another close at the same moment is turned away; what a killed one left is no obstacle. */
START_TEST(only_one_close_runs)
{
    struct world *w = world_november(DECEMBER);
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_STRING left = xasprintf("%s/closes/.closing", w->archive);
    struct closing *running = closing_begin(w->archive, NULL);
    struct err err = {0};

    ck_assert_ptr_nonnull(running);
    ck_assert(!settlement_close(&w->sources, period_text("2026-11"), NULL, &report, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "another close is running"));
    closing_free(running);
    run_command("mkdir %s && touch %s/terms.json", left, left);
    ck_assert(settlement_close(&w->sources, period_text("2026-11"), NULL, &report, &err));
    world_free(w);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settlement faults");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, any_write_may_fail);
    tcase_add_test(tcase, any_sync_may_fail);
    tcase_add_test(tcase, any_rename_may_fail);
    tcase_add_test(tcase, only_one_close_runs);
    return run_tests(tcase, "settlement faults");
}
