/* Children: what dies comes again, what is stopped ends in order, and none outlives its parent. */
#include <check.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/children.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/base/run.h"

#define PATIENCE_MS 60000

/* What children write to a pipe, a letter each. */
struct scene {
    struct loop *loop;
    struct children *children;
    int out[2];
    char seen[64];
    size_t count;
    struct watch *watch;
    unsigned died, retired; /* groups, a bit each */
    bool is_enough, all_gone, task_ended, task_succeeded;
    size_t enough;
};

static void on_readable(void *arg)
{
    struct scene *s = arg;
    ssize_t n = read(s->out[0], s->seen + s->count, sizeof s->seen - 1 - s->count);

    if (n > 0)
        s->count += (size_t)n;
    s->is_enough = s->count >= s->enough;
}

static void on_forked(void *arg)
{
    (void)arg;
}

static void on_death(void *arg, unsigned group)
{
    ((struct scene *)arg)->died |= 1u << group;
}

static void on_retired(void *arg, unsigned group)
{
    ((struct scene *)arg)->retired |= 1u << group;
}

static void on_task_end(void *arg, const char *name, bool succeeded)
{
    struct scene *s = arg;

    ck_assert_str_eq(name, "task");
    s->task_ended = true;
    s->task_succeeded = succeeded;
}

static void on_all_gone(void *arg)
{
    ((struct scene *)arg)->all_gone = true;
}

static void scene_open(struct scene *s, size_t enough)
{
    static const struct children_handlers handlers = {on_forked, on_death, on_retired, on_task_end,
                                                      on_all_gone};
    struct err err;

    memset(s, 0, sizeof *s);
    log_set_level(LOG_ERROR);
    s->enough = enough;
    ck_assert_int_eq(pipe(s->out), 0);
    s->loop = loop_new(&err);
    ck_assert_ptr_nonnull(s->loop);
    s->children = children_new(s->loop, &handlers, s);
    s->watch = watch_new(s->loop, s->out[0], on_readable, NULL, s);
    watch_want(s->watch, true, false);
}

static void scene_close(struct scene *s)
{
    if (!s->all_gone) {
        children_stop(s->children);
        ck_assert(loop_run_until(s->loop, &s->all_gone, PATIENCE_MS));
    }
    watch_free(s->watch);
    children_free(s->children);
    loop_free(s->loop);
    close(s->out[0]);
    close(s->out[1]);
}

static void put(struct scene *s, char c)
{
    if (write(s->out[1], &c, 1) != 1)
        _exit(9);
}

static int die_at_once(void *arg)
{
    put(arg, 'd');
    raise(SIGKILL);
    return 0;
}

static int wait_for_end(void *arg)
{
    put(arg, 'w');
    pause();
    return 0;
}

static struct scene *told; /* by a signal handler of a child */

static void on_term(int signo)
{
    (void)signo;
    usleep(50000);
    put(told, 'e');
    _exit(0);
}

static int end_slowly(void *arg)
{
    told = arg;
    signal(SIGTERM, on_term);
    put(arg, 's');
    while (pause() == -1)
        ;
    return 0;
}

static int ignore_term(void *arg)
{
    signal(SIGTERM, SIG_IGN);
    put(arg, 'i');
    while (pause() == -1)
        ;
    return 0;
}

static int succeed(void *arg)
{
    (void)arg;
    return 0;
}

static int end_badly(void *arg)
{
    (void)arg;
    return 3;
}

START_TEST(what_dies_comes_again_at_once_then_slower)
{
    struct scene s;
    int64_t start = clock_monotonic_ms(), took;

    scene_open(&s, 4);
    children_add(s.children, &(struct child_plan){.name = "a", .run = die_at_once, .arg = &s});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    took = clock_monotonic_ms() - start;
    ck_assert_int_ge(took, 300); /* 0 + 100 + 200 ms */
    scene_close(&s);
}
END_TEST

START_TEST(lower_ranks_are_gone_before_higher_ones_are_told)
{
    struct scene s;

    scene_open(&s, 2);
    children_add(s.children,
                 &(struct child_plan){
                     .name = "late", .run = end_slowly, .arg = &s, .rank = 2, .stop_ms = 60000});
    children_add(s.children,
                 &(struct child_plan){
                     .name = "soon", .run = wait_for_end, .arg = &s, .rank = 1, .stop_ms = 60000});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    s.enough = 3;
    s.is_enough = false;
    children_stop(s.children);
    ck_assert(loop_run_until(s.loop, &s.all_gone, PATIENCE_MS));
    ck_assert(s.is_enough || loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    ck_assert_int_eq(s.seen[2], 'e');
    scene_close(&s);
}
END_TEST

START_TEST(what_does_not_end_in_time_is_killed)
{
    struct scene s;
    int64_t start;

    scene_open(&s, 1);
    children_add(s.children, &(struct child_plan){
                                 .name = "deaf", .run = ignore_term, .arg = &s, .stop_ms = 200});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    start = clock_monotonic_ms();
    children_stop(s.children);
    ck_assert(loop_run_until(s.loop, &s.all_gone, PATIENCE_MS));
    ck_assert_int_ge(clock_monotonic_ms() - start, 190);
    scene_close(&s);
}
END_TEST

START_TEST(asked_twice_it_does_not_wait)
{
    struct scene s;

    scene_open(&s, 1);
    children_add(s.children,
                 &(struct child_plan){
                     .name = "deaf", .run = ignore_term, .arg = &s, .stop_ms = 2 * PATIENCE_MS});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    children_stop(s.children);
    children_stop(s.children);
    ck_assert(loop_run_until(s.loop, &s.all_gone, PATIENCE_MS));
    scene_close(&s);
}
END_TEST

static bool none_retires(struct scene *s)
{
    bool never = false;

    for (int i = 0; i < 500 && children_retiring(s->children, UINT_MAX) > 0; i++)
        (void)!loop_run_until(s->loop, &never, 10);
    return children_retiring(s->children, UINT_MAX) == 0;
}

START_TEST(a_retired_group_ends_for_good_and_the_others_go_on)
{
    struct scene s;

    scene_open(&s, 2);
    children_add(s.children,
                 &(struct child_plan){
                     .name = "old", .run = end_slowly, .arg = &s, .group = 1, .stop_ms = 60000});
    children_add(s.children,
                 &(struct child_plan){
                     .name = "new", .run = wait_for_end, .arg = &s, .group = 2, .stop_ms = 60000});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    children_retire(s.children, 1, SIGTERM);
    ck_assert_uint_eq(children_retiring(s.children, 1), 0);
    ck_assert_uint_eq(children_retiring(s.children, 2), 1);
    ck_assert(none_retires(&s));
    ck_assert_uint_eq(s.died, 0);
    ck_assert_uint_eq(s.retired, 1u << 1);
    if (s.count < 3) /* what it wrote last may not be read yet */
        on_readable(&s);
    ck_assert_uint_eq(s.count, 3);
    ck_assert_int_eq(s.seen[2], 'e');
    scene_close(&s);
}
END_TEST

START_TEST(what_is_retired_and_does_not_end_in_time_is_killed)
{
    struct scene s;

    scene_open(&s, 1);
    children_add(s.children,
                 &(struct child_plan){
                     .name = "deaf", .run = ignore_term, .arg = &s, .group = 1, .stop_ms = 100});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    children_retire(s.children, 1, SIGTERM);
    ck_assert(none_retires(&s));
    scene_close(&s);
}
END_TEST

START_TEST(a_group_that_dies_is_told_and_may_be_retired_between_two_attempts)
{
    struct scene s;
    bool never = false;

    scene_open(&s, 1);
    children_add(s.children,
                 &(struct child_plan){.name = "a", .run = die_at_once, .arg = &s, .group = 3});
    for (int i = 0; i < 500 && !s.died; i++)
        (void)!loop_run_until(s.loop, &never, 10);
    ck_assert_uint_eq(s.died, 1u << 3);
    children_retire(s.children, 3, SIGTERM);
    ck_assert(none_retires(&s));
    scene_close(&s);
}
END_TEST

START_TEST(a_task_ends_once_and_tells_how)
{
    struct scene s;

    scene_open(&s, 1);
    children_add(s.children, &(struct child_plan){.name = "task", .run = succeed, .once = true});
    ck_assert(loop_run_until(s.loop, &s.task_ended, PATIENCE_MS));
    ck_assert(s.task_succeeded);
    s.task_ended = false;
    children_add(s.children, &(struct child_plan){.name = "task", .run = end_badly, .once = true});
    ck_assert(loop_run_until(s.loop, &s.task_ended, PATIENCE_MS));
    ck_assert(!s.task_succeeded);
    scene_close(&s);
}
END_TEST

START_TEST(a_task_that_is_stopped_has_not_failed)
{
    struct scene s;

    scene_open(&s, 1);
    children_add(
        s.children,
        &(struct child_plan){
            .name = "task", .run = wait_for_end, .arg = &s, .stop_ms = 5000, .once = true});
    ck_assert(loop_run_until(s.loop, &s.is_enough, PATIENCE_MS));
    children_stop(s.children);
    ck_assert(loop_run_until(s.loop, &s.all_gone, PATIENCE_MS));
    ck_assert(!s.task_ended);
    scene_close(&s);
}
END_TEST

START_TEST(no_child_outlives_its_parent)
{
    struct scene s;
    int ends[2];
    char c;
    pid_t parent;

    ck_assert_int_eq(pipe(ends), 0);
    parent = fork();
    if (parent == 0) { /* the write end stays open for as long as any of them lives */
        close(ends[0]);
        scene_open(&s, 2);
        children_add(s.children, &(struct child_plan){.name = "a", .run = ignore_term, .arg = &s});
        children_add(s.children, &(struct child_plan){.name = "b", .run = ignore_term, .arg = &s});
        if (!loop_run_until(s.loop, &s.is_enough, PATIENCE_MS))
            _exit(1);
        raise(SIGKILL);
    }
    close(ends[1]);
    alarm(60);
    ck_assert_int_eq(read(ends[0], &c, 1), 0);
    alarm(0);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, what_dies_comes_again_at_once_then_slower);
    tcase_add_test(tcase, lower_ranks_are_gone_before_higher_ones_are_told);
    tcase_add_test(tcase, what_does_not_end_in_time_is_killed);
    tcase_add_test(tcase, asked_twice_it_does_not_wait);
    tcase_add_test(tcase, a_retired_group_ends_for_good_and_the_others_go_on);
    tcase_add_test(tcase, what_is_retired_and_does_not_end_in_time_is_killed);
    tcase_add_test(tcase, a_group_that_dies_is_told_and_may_be_retired_between_two_attempts);
    tcase_add_test(tcase, a_task_ends_once_and_tells_how);
    tcase_add_test(tcase, a_task_that_is_stopped_has_not_failed);
    tcase_add_test(tcase, no_child_outlives_its_parent);
    return run_tests(tcase, "children");
}
