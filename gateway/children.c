/* children.c - fork, wait, back-off. All signals are blocked around the fork, so that a child never
 * runs the parent's handlers; what arrived meanwhile meets default actions. */
#include "gateway/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CHILD_NAME       32
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   5000
#define GOOD_LIFE_MS     10000
#define KILL_AGAIN_MS    1000

/* Not those of crashes, which sanitizers handle. */
static const int plain_signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE,
                                    SIGALRM, SIGTERM, SIGUSR1, SIGUSR2};

struct child {
    struct children *all;
    struct child *next;
    struct child_plan plan;
    char name[CHILD_NAME];
    pid_t pid; /* 0: not running */
    int64_t started_ms, pause_ms;
    struct timer *restart;
    struct timer *retire_end; /* null: not retired */
};

struct children {
    struct loop *loop;
    struct children_handlers handlers;
    void *arg;
    struct child *first;
    struct signal_watch *on_sigchld;
    struct timer *kill_timer;
    bool stopping;
    unsigned rank; /* that is being stopped */
};

static void start(void *arg);
static NORETURN void become(struct child *child, pid_t parent, const sigset_t *signals);
static void show_name(const char *name);
static void on_sigchld(void *arg);
static void end(struct child *child, int status);
static void forget(struct child *child);
static void on_retire_end(void *arg);
static void describe(int status, char *out, size_t size);
static void restart_later(struct child *child);
static void stop_next_rank(struct children *c);
static void signal_rank(struct children *c, int signo);
static void on_kill_timer(void *arg);

struct children *children_new(struct loop *loop, const struct children_handlers *handlers,
                              void *arg)
{
    struct children *c = xcalloc(1, sizeof *c);

    c->loop = loop;
    c->handlers = *handlers;
    c->arg = arg;
    c->on_sigchld = signal_watch_new(loop, SIGCHLD, on_sigchld, c);
    c->kill_timer = timer_new(loop, on_kill_timer, c);
    return c;
}

void children_free(struct children *c)
{
    if (!c)
        return;
    while (c->first)
        forget(c->first);
    timer_free(c->kill_timer);
    signal_watch_free(c->on_sigchld);
    free(c);
}

void children_add(struct children *c, const struct child_plan *plan)
{
    struct child *child = xcalloc(1, sizeof *child);

    child->all = c;
    child->plan = *plan;
    snprintf(child->name, sizeof child->name, "%s", plan->name);
    child->restart = timer_new(c->loop, start, child);
    child->next = c->first;
    c->first = child;
    start(child);
}

static void start(void *arg)
{
    struct child *child = arg;
    pid_t parent = getpid();
    sigset_t all, before;
    pid_t pid;

    fflush(NULL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        become(child, parent, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    child->started_ms = clock_monotonic_ms();
    if (pid > 0) {
        child->pid = pid;
        return;
    }
    log_error("fork_failed", "cannot start %s: %s", child->name, strerror(errno));
    restart_later(child);
}

/* Signal watches go first: renewing the loop would count them twice, and warn when a second loop
 * has some. */
static void become(struct child *child, pid_t parent, const sigset_t *signals)
{
    struct children *c = child->all;
    struct err err;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    log_set_process(child->name);
    show_name(child->name);
    signal_watch_free(c->on_sigchld);
    c->handlers.on_forked(c->arg);
    if (!loop_after_fork(c->loop, &err)) {
        log_error("fork_failed", "%s: %s", child->name, err.text);
        _exit(1);
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_signals); i++)
        signal(plain_signals[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, signals, NULL);
    exit(child->plan.run(child->plan.arg));
}

/* The kernel keeps 15 characters. */
static void show_name(const char *name)
{
    char shown[CHILD_NAME + 3];

    snprintf(shown, sizeof shown, "tg-%s", name);
    for (char *p = shown; *p; p++)
        if (*p == ' ')
            *p = '-';
    prctl(PR_SET_NAME, shown);
}

/* One signal may stand for several deaths; each may change the list. */
static void on_sigchld(void *arg)
{
    struct children *c = arg;
    struct child *child = c->first;
    int status;

    while (child) {
        bool has_ended = child->pid > 0 && waitpid(child->pid, &status, WNOHANG) == child->pid;

        if (has_ended)
            end(child, status);
        child = has_ended ? c->first : child->next;
    }
    if (c->stopping)
        stop_next_rank(c);
}

static void end(struct child *child, int status)
{
    struct children *c = child->all;
    bool succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    pid_t pid = child->pid;
    char how[80];

    child->pid = 0;
    describe(status, how, sizeof how);
    if (c->stopping || child->retire_end || (child->plan.once && succeeded))
        log_info("child_ended", "%s (pid %ld) %s", child->name, (long)pid, how);
    else
        log_error("child_died", "%s (pid %ld) %s", child->name, (long)pid, how);
    if (child->retire_end) {
        unsigned group = child->plan.group;

        forget(child);
        c->handlers.on_retired(c->arg, group);
    } else if (c->stopping) {
        return;
    } else if (child->plan.once) {
        c->handlers.on_task_end(c->arg, child->name, succeeded);
    } else {
        restart_later(child);
        c->handlers.on_death(c->arg, child->plan.group);
    }
}

static void forget(struct child *child)
{
    struct child **link = &child->all->first;

    while (*link != child)
        link = &(*link)->next;
    *link = child->next;
    timer_free(child->restart);
    timer_free(child->retire_end);
    free(child);
}

static void describe(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "ended with exit code %d", WEXITSTATUS(status));
}

static void restart_later(struct child *child)
{
    int64_t lived = clock_monotonic_ms() - child->started_ms;

    if (lived >= GOOD_LIFE_MS)
        child->pause_ms = 0;
    timer_start(child->restart, child->pause_ms);
    child->pause_ms = child->pause_ms ? 2 * child->pause_ms : BACKOFF_FIRST_MS;
    if (child->pause_ms > BACKOFF_MAX_MS)
        child->pause_ms = BACKOFF_MAX_MS;
}

void children_retire(struct children *c, unsigned group, int signo)
{
    struct child *child, *next;

    for (child = c->first; child; child = next) {
        next = child->next;
        if (child->plan.group != group || child->retire_end)
            continue;
        timer_stop(child->restart);
        child->retire_end = timer_new(c->loop, on_retire_end, child);
        timer_start(child->retire_end, child->plan.stop_ms);
        if (child->pid > 0)
            kill(child->pid, signo);
        else
            forget(child);
    }
}

static void on_retire_end(void *arg)
{
    struct child *child = arg;

    log_warn("stop_timeout", "%s (pid %ld) has not ended in time and is killed", child->name,
             (long)child->pid);
    kill(child->pid, SIGKILL);
    timer_start(child->retire_end, KILL_AGAIN_MS);
}

size_t children_retiring(const struct children *c, unsigned before)
{
    size_t count = 0;

    for (const struct child *child = c->first; child; child = child->next)
        count += child->retire_end && child->plan.group < before;
    return count;
}

void children_stop(struct children *c)
{
    if (c->stopping) {
        signal_rank(c, SIGKILL);
        return;
    }
    c->stopping = true;
    for (struct child *child = c->first; child; child = child->next)
        timer_stop(child->restart);
    c->rank = 0;
    signal_rank(c, SIGTERM);
    stop_next_rank(c);
}

/* Goes on to the lowest rank that still runs, once those before it are gone. */
static void stop_next_rank(struct children *c)
{
    const struct child *lowest = NULL;

    for (const struct child *child = c->first; child; child = child->next)
        if (child->pid > 0 && (!lowest || child->plan.rank < lowest->plan.rank))
            lowest = child;
    if (!lowest) {
        timer_stop(c->kill_timer);
        c->handlers.on_all_gone(c->arg);
    } else if (lowest->plan.rank > c->rank) {
        c->rank = lowest->plan.rank;
        signal_rank(c, SIGTERM);
    }
}

static void signal_rank(struct children *c, int signo)
{
    int64_t stop_ms = 0;

    for (const struct child *child = c->first; child; child = child->next) {
        if (child->pid <= 0 || child->plan.rank != c->rank)
            continue;
        kill(child->pid, signo);
        if (child->plan.stop_ms > stop_ms)
            stop_ms = child->plan.stop_ms;
    }
    timer_start(c->kill_timer, signo == SIGKILL ? KILL_AGAIN_MS : stop_ms);
}

static void on_kill_timer(void *arg)
{
    struct children *c = arg;

    log_warn("stop_timeout", "what has not ended in time is killed");
    signal_rank(c, SIGKILL);
}
