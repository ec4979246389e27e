/* The journal on a disk that fails: a fixed story is told again and again, and at its n-th disk operation something goes
 * wrong, for every n. Afterwards the directory is opened on a good disk and must keep every promise that was made before:
 * what was told as durable is there once, what was shipped has the same number and CRC, the rest is there at most once, numbers are
 * dense, and every BEGIN has its END. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "billing/journal_thread.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/faulty_disk.h"
#include "tests/billing/journal_fixture.h"

/* Sanitizers make a process's start many times as dear: they look at every fifth operation. */
#ifdef __SANITIZE_ADDRESS__
#define EVERY 5
#else
#define EVERY 1
#endif
#define CALLS      30
#define WRECKS     4
#define STORY_STEP 8

/* What a child tells its parent. */
enum { TOLD_DURABLE, TOLD_SHIPPED, TOLD_COUNT };
struct told {
    int what;
    unsigned i; /* the call, or the count */
    uint32_t crc;
    struct record_place place;
};

struct promises {
    struct told *told;
    size_t count;
    unsigned operations;
};

static struct journal_fixture f;
static int report_fd = -1;
static unsigned error_at;

static void set_up(void)
{
    fixture_open(&f);
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
}

static void tear_down(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    fixture_clear(&f);
}

/* --- In the child --- */

static void tell_durable(void *arg)
{
    struct told t = {.what = TOLD_DURABLE, .i = (unsigned)(uintptr_t)arg};

    disk_report(report_fd, &t, sizeof t);
}

static void ship(struct journal_tail *tail)
{
    struct told t = {.what = TOLD_SHIPPED};
    struct record_head head;
    struct span line;

    while (tail && journal_tail_next(tail, &head, &line, &t.crc, NULL) == 1) {
        t.place = head.place;
        disk_report(report_fd, &t, sizeof t);
    }
}

/* Every second one is as large as an event with many owners is, so that segments fill. */
static struct event make_event(struct journal *j, unsigned i)
{
    struct event e = fixture_event(j, i);

    if (i % 2 == 0)
        return e;
    for (e.owner_count = 0; e.owner_count < OWNERS_MAX; e.owner_count++) {
        struct owner *o = &e.owners[e.owner_count];

        memset(o->id, (int)('a' + e.owner_count), ID_TEXT - 1);
        o->id[ID_TEXT - 1] = '\0';
        o->weight = 1;
    }
    snprintf(e.contract, sizeof e.contract, "%s@2026-01-01T00:00:00.000Z", e.owners[0].id);
    return e;
}

static bool start_call(struct journal *j, unsigned i)
{
    struct event e = make_event(j, i);

    if (!journal_reserve(j, NULL))
        return false;
    journal_begin(j, &e);
    for (int n = 0; n < 3; n++)
        journal_progress(j, &e);
    return true;
}

static void end_call(struct journal *j, unsigned i)
{
    struct event e = make_event(j, i);

    journal_call(j, &e, tell_durable, (void *)(uintptr_t)i);
}

/* Calls overlap; some batches have only what needs no sync; a segment is filled in the middle of one, another is sealed when
 * asked; a period ends; some calls never do. */
static void tell_calls(struct journal *j, struct journal_tail *tail, unsigned from)
{
    for (unsigned i = from; i < from + CALLS; i++) {
        bool started = start_call(j, i);

        if (i % 6 == 1)
            journal_completed(j);
        if (started && i % 15 != 7)
            end_call(j, i);
        if (i % STORY_STEP == 0)
            journal_completed(j);
        if (i == from + 28)
            journal_seal(j, NULL, NULL);
        if (i == from + 26)
            fixture_set_clock(FIXTURE_NOW + 20 * 86400 * NANOS_PER_SECOND);
        if (i % 4 == 0)
            journal_tick(j);
        ship(tail);
    }
}

static void tell_story(unsigned from, bool with_thread)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct record_heads heads;
    struct journal_tail *tail;

    if (!j)
        return;
    heads = *journal_heads(j);
    tail = journal_tail_new(j, &heads, NULL);
    if (with_thread && !journal_start(j, f.notify_fd, NULL))
        exit(1);
    tell_calls(j, tail, from);
    journal_completed(j);
    ship(tail);
    journal_tail_free(tail);
    journal_free(j);
}

static void two_stories(bool with_thread)
{
    struct told t = {.what = TOLD_COUNT};

    tell_story(0, with_thread);
    tell_story(CALLS, with_thread);
    t.i = disk_count();
    disk_report(report_fd, &t, sizeof t);
}

/* --- In the parent --- */

static void read_promises(int fd, struct promises *p)
{
    struct told t;

    *p = (struct promises){0};
    while (read(fd, &t, sizeof t) == (ssize_t)sizeof t) {
        if (t.what == TOLD_COUNT)
            p->operations = t.i;
        if ((p->count & (p->count - 1)) == 0)
            p->told = xrealloc_array(p->told, p->count ? 2 * p->count : 1, sizeof *p->told);
        p->told[p->count++] = t;
    }
    close(fd);
}

/* Runs `story` in a process of its own whose n-th operation fails. */
static int run(enum fault fault, unsigned n, unsigned seed, void (*story)(bool), bool with_thread,
               struct promises *p)
{
    AUTO_STRING after = path_join(f.top, "after");
    int pipe_fds[2], status;
    pid_t child;

    ck_assert(pipe(pipe_fds) == 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(pipe_fds[0]);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        report_fd = pipe_fds[1];
        disk_arm(fault, n, f.root, after, seed);
        story(with_thread);
        _exit(0);
    }
    close(pipe_fds[1]);
    read_promises(pipe_fds[0], p);
    ck_assert(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        return 1000 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

static bool is_at(const struct record_place *a, const struct record_place *b)
{
    bool same = true;

    for (int side = 0; side < SIDES; side++)
        same = same && a->on[side] == b->on[side] && a->partition[side] == b->partition[side] &&
               a->n[side] == b->n[side];
    return same;
}

static bool holds_shipped(const struct fixture_lines *lines, const struct told *t)
{
    for (size_t k = 0; k < lines->count; k++) {
        struct span line = span_of(lines->line[k]);
        struct record_head head;

        ck_assert(record_head_parse(line, &head, NULL));
        if (is_at(&head.place, &t->place))
            return crc32c(0, line.data, line.len) == t->crc;
    }
    return false;
}

static void check_promises(const char *dir, const struct promises *p)
{
    struct fixture_lines lines;

    fixture_read(dir, &lines);
    for (size_t k = 0; k < p->count; k++) {
        if (p->told[k].what == TOLD_DURABLE)
            ck_assert_msg(fixture_ends(&lines, p->told[k].i) == 1, "call %u was durable",
                          p->told[k].i);
        else if (p->told[k].what == TOLD_SHIPPED)
            ck_assert_msg(holds_shipped(&lines, &p->told[k]), "a shipped record has changed");
    }
    for (unsigned i = 0; i < 2 * CALLS; i++)
        ck_assert_msg(fixture_ends(&lines, i) <= 1, "call %u has two ENDs", i);
    fixture_lines_clear(&lines);
}

static void check_no_call_is_open(const char *dir)
{
    struct segment_file *files;
    size_t count;

    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        struct segment_header h;

        ck_assert(segment_header_read(files[i].path, &h, NULL));
        if (i + 1 == count)
            ck_assert_uint_eq(h.open_position, h.position);
    }
    segment_list_free(files, count);
}

/* Opens every directory that stands, on a good disk, and once more after that. */
static void check_recovery(const struct promises *p)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    AUTO_CLEAR(buf) damaged;
    struct journal *j;
    size_t durable = 0;
    struct err err;

    buf_init(&damaged, 4096);
    for (unsigned round = 0; round < 2; round++) {
        j = journal_open(&f.config, &damaged, &err);
        ck_assert_msg(j, "%s", err.text);
        ck_assert_msg(damaged.len == 0, "%s", damaged.data);
        ck_assert_str_eq(journal_dir(j), dir);
        fixture_call(j, 2000 + round, fixture_count, &durable);
        journal_completed(j);
        ck_assert_uint_eq(durable, round + 1);
        journal_free(j);
        check_promises(dir, p);
    }
    check_no_call_is_open(dir);
}

static void start_afresh(void)
{
    AUTO_STRING after = path_join(f.top, "after");

    fixture_remove(f.root);
    fixture_remove(f.archive);
    fixture_remove(after);
    fixture_set_clock(FIXTURE_NOW);
}

/* The child may have lost power: then what it left is under another name. */
static void take_what_is_left(enum fault fault, int status)
{
    AUTO_STRING after = path_join(f.top, "after");

    if (fault != FAULT_POWER || status != DISK_EXIT)
        return;
    fixture_remove(f.root);
    ck_assert(rename(after, f.root) == 0);
}

static unsigned count_operations(enum fault fault, void (*story)(bool), bool with_thread)
{
    struct promises p;

    start_afresh();
    ck_assert_int_eq(run(fault, 0, 0, story, with_thread, &p), 0);
    ck_assert_uint_gt(p.operations, 0);
    free(p.told);
    return p.operations;
}

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

/* --- Recovery that is itself cut off --- */

static void recover_only(bool with_thread)
{
    struct told t = {.what = TOLD_COUNT};
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct journal *j = journal_open_dir(&f.config, dir, NULL);

    (void)with_thread;
    journal_free(j);
    t.i = disk_count();
    disk_report(report_fd, &t, sizeof t);
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

/* --- A process that is killed at any moment --- */

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
    tcase_add_test(t, recovery_that_dies_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_fails_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_loses_power_anywhere_comes_to_the_same_result);
    tcase_add_test(t, recovery_that_dies_again_and_again_comes_to_the_same_result);
    tcase_add_test(t, what_is_told_after_a_failed_recovery_survives_a_loss_of_power);
    tcase_add_test(t, a_process_killed_at_any_moment_breaks_no_promise);
    return run_tests(t, "journal_faults");
}
