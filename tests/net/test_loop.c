/* test_loop.c - timers, watches, signals and the end of a turn, on the real event loop. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "tests/base/run.h"

static struct loop *loop;
static char trace[64]; /* a letter for each thing that ran */
static size_t traced;
static bool done;

static void note(char c)
{
    ck_assert_uint_lt(traced, sizeof trace - 1);
    trace[traced++] = c;
    trace[traced] = '\0';
}

static void note_arg(void *arg)
{
    note(*(const char *)arg);
}

static void set_done(void *arg UNUSED)
{
    done = true;
}

static void run_ms(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

static void setup(void)
{
    struct err err;

    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    traced = 0;
    trace[0] = '\0';
    done = false;
}

static void teardown(void)
{
    loop_free(loop);
}

static int64_t fired_at;

static void note_time(void *arg UNUSED)
{
    fired_at = clock_monotonic_ms();
}

START_TEST(a_timer_is_never_early)
{
    AUTO(timer) t = timer_new(loop, note_time, NULL);

    for (int64_t ms = 0; ms < 12; ms++) {
        int64_t begin = clock_monotonic_ms();

        fired_at = 0;
        timer_start(t, ms);
        run_ms(ms + 30);
        ck_assert_int_ne(fired_at, 0);
        ck_assert_int_ge(fired_at - begin, ms);
    }
}
END_TEST

START_TEST(a_running_timer_moves_both_ways_and_fires_once)
{
    AUTO(timer) a = timer_new(loop, note_arg, "a");
    AUTO(timer) b = timer_new(loop, note_arg, "b");
    AUTO(timer) c = timer_new(loop, note_arg, "c");

    timer_start(a, 10); /* to later */
    timer_start(a, 60);
    timer_start(b, 5000); /* to earlier */
    timer_start(b, 30);
    timer_start(c, 20); /* stopped, and started again */
    timer_stop(c);
    timer_start(c, 45);
    run_ms(70); /* however late: they fire in the order of their times, before what ends this */
    ck_assert_str_eq(trace, "bca");
    run_ms(50);
    ck_assert_str_eq(trace, "bca");
}
END_TEST

START_TEST(a_stopped_timer_does_not_fire)
{
    AUTO(timer) t = timer_new(loop, note_arg, "x");

    timer_start(t, 5);
    timer_stop(t);
    run_ms(30);
    ck_assert_str_eq(trace, "");
}
END_TEST

static struct timer *self;

static void free_self(void *arg UNUSED)
{
    timer_free(self);
    note('f');
}

START_TEST(a_timer_may_be_freed_by_its_own_callback)
{
    self = timer_new(loop, free_self, NULL);
    timer_start(self, 1);
    run_ms(20);
    ck_assert_str_eq(trace, "f");
}
END_TEST

START_TEST(waiting_ends_with_the_flag_or_the_time)
{
    AUTO(timer) t = timer_new(loop, set_done, NULL);
    int64_t begin = clock_monotonic_ms();

    timer_start(t, 10);
    ck_assert(loop_run_until(loop, &done, 60000));
    ck_assert_int_lt(clock_monotonic_ms() - begin, 60000);
    done = false;
    ck_assert(!loop_run_until(loop, &done, 10));
    ck_assert_int_ge(clock_monotonic_ms() - begin, 20);
}
END_TEST

static int pair[2];
static struct turn_end ends[4];

static void read_one(void *arg)
{
    char c;

    ck_assert_int_eq(read(*(int *)arg, &c, 1), 1);
    note('r');
    turn_end_schedule(loop, &ends[0]);
    turn_end_schedule(loop, &ends[0]);
}

START_TEST(what_many_events_schedule_runs_once_after_all_of_them)
{
    struct watch *a, *b;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(write(pair[0], "x", 1), 1);
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    ends[0] = (struct turn_end){.run = note_arg, .arg = "e"};
    a = watch_new(loop, pair[0], read_one, NULL, &pair[0]);
    b = watch_new(loop, pair[1], read_one, NULL, &pair[1]);
    watch_want(a, true, false);
    watch_want(b, true, false);
    run_ms(10);
    ck_assert_str_eq(trace, "rre");
    watch_free(a);
    watch_free(b);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

static void cancel_third(void *arg)
{
    note_arg(arg);
    turn_end_cancel(&ends[2]);
}

static void schedule_first(void *arg)
{
    note_arg(arg);
    turn_end_schedule(loop, &ends[0]);
    set_done(NULL);
}

START_TEST(turn_ends_run_in_order_and_may_cancel_and_schedule_each_other)
{
    ends[0] = (struct turn_end){.run = note_arg, .arg = "0"};
    ends[1] = (struct turn_end){.run = cancel_third, .arg = "1"};
    ends[2] = (struct turn_end){.run = note_arg, .arg = "2"};
    ends[3] = (struct turn_end){.run = schedule_first, .arg = "3"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        turn_end_schedule(loop, &ends[i]);
    ck_assert(loop_run_until(loop, &done, 60000));
    ck_assert_str_eq(trace, "0130");
}
END_TEST

START_TEST(every_subset_can_be_cancelled)
{
    static const char *const names[] = {"0", "1", "2", "3"};

    for (unsigned kept = 0; kept < 16; kept++) {
        char expected[5] = "";
        size_t n = 0;

        traced = 0;
        trace[0] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            ends[i] = (struct turn_end){.run = note_arg, .arg = (void *)names[i]};
            turn_end_schedule(loop, &ends[i]);
        }
        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            if (kept & 1u << i)
                expected[n++] = names[i][0];
            else
                turn_end_cancel(&ends[i]);
        }
        run_ms(0);
        ck_assert_str_eq(trace, expected);
    }
}
END_TEST

static unsigned rounds;

static void again(void *arg UNUSED)
{
    rounds++;
    turn_end_schedule(loop, &ends[0]);
}

START_TEST(work_that_always_schedules_more_keeps_nobody_from_running)
{
    AUTO(timer) t = timer_new(loop, set_done, NULL);

    ends[0] = (struct turn_end){.run = again};
    turn_end_schedule(loop, &ends[0]);
    timer_start(t, 20);
    ck_assert(loop_run_until(loop, &done, 60000));
    ck_assert_uint_gt(rounds, 8);
    turn_end_cancel(&ends[0]);
}
END_TEST

static void stop(void *arg UNUSED)
{
    note('s');
    loop_stop(loop);
}

START_TEST(a_loop_can_be_stopped_from_everywhere_and_run_again)
{
    AUTO(timer) t = timer_new(loop, stop, NULL);

    alarm(5);
    timer_start(t, 1);
    loop_run(loop);
    ends[0] = (struct turn_end){.run = stop};
    turn_end_schedule(loop, &ends[0]);
    loop_run(loop);
    loop_stop(loop);
    loop_run(loop);
    alarm(0);
    ck_assert_str_eq(trace, "ss");
}
END_TEST

START_TEST(what_the_loop_owns_is_ended_with_it)
{
    ends[0] = (struct turn_end){.run = note_arg, .arg = "o"};
    ends[1] = (struct turn_end){.run = note_arg, .arg = "p"};
    loop_own(loop, &ends[0]);
    loop_own(loop, &ends[1]);
    turn_end_cancel(&ends[1]);
    run_ms(5);
    ck_assert_str_eq(trace, "");
    loop_free(loop);
    loop = NULL;
    ck_assert_str_eq(trace, "o");
}
END_TEST

START_TEST(a_watch_is_level_triggered_and_knows_both_directions)
{
    static const char *const r = "R", *const w = "W";
    struct watch *watch;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    watch = watch_new(loop, pair[0], note_arg, note_arg, (void *)w);
    watch_want(watch, true, false);
    run_ms(10);
    ck_assert_str_eq(trace, "");
    watch_want(watch, false, true);
    ck_assert(!loop_run_until(loop, &done, 0) && traced > 0);
    watch_free(watch);
    traced = 0;
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    watch = watch_new(loop, pair[0], note_arg, NULL, (void *)r);
    watch_want(watch, true, false);
    for (size_t turns = 1; turns <= 3; turns++) {
        run_ms(0);
        ck_assert_uint_ge(traced, turns);
        ck_assert_int_eq(trace[turns - 1], 'R');
    }
    watch_free(watch);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(a_signal_comes_as_an_event)
{
    AUTO(signal_watch) w = signal_watch_new(loop, SIGUSR1, note_arg, "u");

    raise(SIGUSR1);
    ck_assert_str_eq(trace, "");
    run_ms(20);
    ck_assert_str_eq(trace, "u");
    raise(SIGPIPE);
}
END_TEST

START_TEST(after_fork_parent_and_child_each_have_their_loop)
{
    AUTO(timer) t = timer_new(loop, note_arg, "t");
    struct watch *watch;
    struct err err;
    int status;
    pid_t pid;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ends[0] = (struct turn_end){.run = note_arg, .arg = "e"};
    watch = watch_new(loop, pair[0], read_one, NULL, &pair[0]);
    watch_want(watch, true, false);
    timer_start(t, 10);
    run_ms(0);
    pid = fork();
    if (pid == 0) {
        if (!loop_after_fork(loop, &err) || write(pair[1], "x", 1) != 1)
            _exit(1);
        run_ms(40);
        watch_free(watch);
        _exit(strcmp(trace, "ret") == 0 ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    run_ms(20);
    ck_assert_str_eq(trace, "t");
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    run_ms(10);
    ck_assert_str_eq(trace, "tre");
    watch_free(watch);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_timer_is_never_early,
        a_running_timer_moves_both_ways_and_fires_once,
        a_stopped_timer_does_not_fire,
        a_timer_may_be_freed_by_its_own_callback,
        waiting_ends_with_the_flag_or_the_time,
        what_many_events_schedule_runs_once_after_all_of_them,
        turn_ends_run_in_order_and_may_cancel_and_schedule_each_other,
        every_subset_can_be_cancelled,
        work_that_always_schedules_more_keeps_nobody_from_running,
        a_loop_can_be_stopped_from_everywhere_and_run_again,
        what_the_loop_owns_is_ended_with_it,
        a_watch_is_level_triggered_and_knows_both_directions,
        a_signal_comes_as_an_event,
        after_fork_parent_and_child_each_have_their_loop,
    };
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "loop");
}
