/* master.c - it holds the listening sockets for as long as it lives, so that a worker that is
 * started again, or takes the place of an older one, finds the connections that came meanwhile: no
 * socket of a SO_REUSEPORT group is ever closed, because what waits in its queue would be reset. */
#include "gateway/master.h"

#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "gateway/console.h"
#include "gateway/generation.h"
#include "gateway/muster.h"
#include "gateway/privileges.h"
#include "gateway/supervisor.h"
#include "gateway/worker.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/names_server.h"

#define ADMIN_TRIES     100 /* a command's own console may be about to end */
#define LOCK_TRIES      300
#define PAUSE_MS        100
#define WORKER_GRACE_MS 20000
#define CONSOLE_STOP_MS 20000
#define NAMES_STOP_MS   1000
#define ASKED_AGAIN_MS  1000
#define WORKER_NAME     16
#define MUSTER_MS       60000 /* for new workers to become ready */
#define PROBLEM_BYTES   65536
#define RETIRING_CREWS  8

static const int stop_signals[] = {SIGTERM, SIGINT};

struct master;
struct slot {
    struct crew *crew;
    unsigned number;
    char name[WORKER_NAME];
};

/* Workers and console of one generation, which is the group of these children. */
struct crew {
    struct master *master;
    struct generation *generation;
    struct slot *slots;
    struct muster *muster; /* null: not waited for (any more) */
};

struct master {
    const struct master_start *start;
    struct loop *loop;
    struct children *children;
    struct signal_watch *stop_watches[ARRAY_LEN(stop_signals)], *on_hup;
    struct crew *present, *next; /* next: null unless its workers are getting ready */
    struct timer *muster_end;
    bool reload_again; /* asked for while `next` was getting ready */
    struct board *board;
    struct seat *seat;
    int admin_fd, names_fd;
    struct addr names;         /* where names_fd listens */
    int64_t stopping_since_ms; /* 0: not asked to stop */
    int exit_code;
};

static bool prepare(struct master *m, struct err *err);
static int open_socket(const char *state, const char *name, struct addr *addr, struct err *err);
static size_t seat_count(size_t workers);
static void start_all(struct master *m);
static struct crew *crew_new(struct master *m, struct generation *generation);
static void crew_free(struct crew *crew);
DEFINE_AUTO(crew)
static void start_workers(struct crew *crew);
static void start_console(struct crew *crew);
static int64_t worker_stop_ms(const struct options *o);
static int run_worker(void *arg);
static int run_names(void *arg);
static int run_console(void *arg);
static struct file_lock *wait_for_console_lock(const char *state, struct err *err);
static void on_forked(void *arg);
static void on_death(void *arg, unsigned group);
static void on_retired(void *arg, unsigned group);
static void on_task_end(void *arg, const char *name, bool succeeded);
static void on_all_gone(void *arg);
static void on_stop_signal(void *arg);
static void stop(struct master *m);
static void on_hup(void *arg);
static void reload(struct master *m);
static struct crew *crew_load(struct master *m, struct err *err);
static void log_problems(struct span problems);
static void on_muster(void *arg);
static void on_muster_end(void *arg);
static void give_up_next(struct master *m, const char *why);
static void end_reload(struct master *m);
static void master_clear(struct master *m);
static bool open_up(const struct options *options, struct listeners *listeners,
                    struct tls_context **tls, struct err *err);
static size_t worker_count(const struct options *options);

struct file_lock *master_lock(const char *state, struct err *err)
{
    AUTO_STRING path = path_join(state, "master.lock");
    struct file_lock *lock;

    if (!dir_ensure(state, 0700, err))
        return NULL;
    lock = file_lock_take(path, err);
    if (!lock && file_lock_owner(path) > 0)
        err_set(err, ERR_EXISTS, "another tollgate (process %ld) runs on %s",
                (long)file_lock_owner(path), state);
    return lock;
}

int master_run(const struct master_start *start)
{
    struct master m = {.start = start, .admin_fd = -1, .names_fd = -1};
    struct err err;

    if (!prepare(&m, &err)) {
        log_error("start_failed", "%s", err.text);
        m.exit_code = 1;
    } else {
        start_all(&m);
        loop_run(m.loop);
        log_info("stopped", "everything has ended");
    }
    master_clear(&m);
    return m.exit_code;
}

static bool prepare(struct master *m, struct err *err)
{
    static const struct children_handlers handlers = {on_forked, on_death, on_retired, on_task_end,
                                                      on_all_gone};

    log_set_process("master");
    prctl(PR_SET_NAME, "tg-master");
    m->admin_fd = open_socket(m->start->options->state, "admin.sock", NULL, err);
    m->names_fd =
        m->admin_fd < 0 ? -1 : open_socket(m->start->options->state, "names.sock", &m->names, err);
    if (m->names_fd < 0)
        return false;
    m->loop = loop_new(err);
    m->board = m->loop ? board_new(seat_count(m->start->listeners->count), err) : NULL;
    if (!m->board)
        return false;
    m->seat = board_sit(m->board);
    m->children = children_new(m->loop, &handlers, m);
    for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
        m->stop_watches[i] = signal_watch_new(m->loop, stop_signals[i], on_stop_signal, m);
    m->on_hup = signal_watch_new(m->loop, SIGHUP, m->start->config ? on_hup : on_stop_signal, m);
    m->muster_end = timer_new(m->loop, on_muster_end, m);
    return true;
}

/* For the workers and the console of every crew that may run beside another, and the master. */
static size_t seat_count(size_t workers)
{
    return 1 + (workers + 1) * (RETIRING_CREWS + 2);
}

static int open_socket(const char *state, const char *name, struct addr *bound, struct err *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * NANOS_PER_MS};
    AUTO_STRING path = path_join(state, name);
    AUTO_STRING text = xasprintf("unix:%s", path);
    struct err why = {.code = ERR_EXISTS};
    struct addr addr;
    int fd = -1;

    if (!addr_parse(text, &addr, err))
        return -1;
    for (int tries = 0; fd < 0 && why.code == ERR_EXISTS && tries < ADMIN_TRIES; tries++) {
        if (tries > 0)
            nanosleep(&pause, NULL);
        fd = addr_listen(&addr, bound, &why);
    }
    if (fd < 0)
        err_set(err, why.code, "%s", why.text);
    return fd;
}

static void start_all(struct master *m)
{
    const struct master_start *s = m->start;

    for (size_t i = 0; i < s->other_count; i++)
        children_add(m->children, &s->others[i]);
    children_add(m->children, &(struct child_plan){.name = "names",
                                                   .run = run_names,
                                                   .arg = m,
                                                   .rank = RANK_CONSOLE,
                                                   .stop_ms = NAMES_STOP_MS});
    m->present = crew_new(m, generation_first(s->options, s->installation, s->tls));
    start_console(m->present);
    start_workers(m->present);
    log_info("started", "the API is at https://%s, the console at https://%s, with %zu workers",
             s->listeners->api_address, s->listeners->console_address, s->listeners->count);
    supervisor_tell("READY=1");
}

static struct crew *crew_new(struct master *m, struct generation *generation)
{
    struct crew *crew = xcalloc(1, sizeof *crew);

    *crew = (struct crew){.master = m, .generation = generation};
    crew->slots = xcalloc(m->start->listeners->count, sizeof *crew->slots);
    return crew;
}

/* Of one that was retired, the children still run: they have all of it by fork. */
static void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    muster_free(crew->muster);
    generation_free(crew->generation);
    free(crew->slots);
    free(crew);
}

static void start_console(struct crew *crew)
{
    children_add(crew->master->children, &(struct child_plan){.name = "console",
                                                              .run = run_console,
                                                              .arg = crew,
                                                              .group = crew->generation->number,
                                                              .rank = RANK_CONSOLE,
                                                              .stop_ms = CONSOLE_STOP_MS});
}

static void start_workers(struct crew *crew)
{
    struct child_plan plan = {.run = run_worker,
                              .group = crew->generation->number,
                              .rank = RANK_WORKERS,
                              .stop_ms = worker_stop_ms(crew->generation->options)};

    for (unsigned i = 0; i < crew->master->start->listeners->count; i++) {
        struct slot *slot = &crew->slots[i];

        *slot = (struct slot){.crew = crew, .number = i};
        snprintf(slot->name, sizeof slot->name, "worker %u", i);
        plan.name = slot->name;
        plan.arg = slot;
        children_add(crew->master->children, &plan);
    }
}

/* A worker cuts its calls itself when their time is over, and needs a moment to write their ends.
 */
static int64_t worker_stop_ms(const struct options *o)
{
    return o->drain_timeout + WORKER_GRACE_MS;
}

static int run_worker(void *arg)
{
    struct slot *slot = arg;
    struct crew *crew = slot->crew;
    struct master *m = crew->master;
    struct worker_start start = {
        .options = crew->generation->options,
        .installation = crew->generation->installation,
        .listen_fd = m->start->listeners->api[slot->number],
        .tls = crew->generation->tls,
        .slot = slot->number,
        .names = &m->names,
        .seat = board_sit(m->board),
        .ready_fd = crew->muster ? muster_join(crew->muster) : -1,
    };

    listeners_close_others(m->start->listeners, start.listen_fd, -1);
    close(m->admin_fd);
    close(m->names_fd);
    return worker_run(&start);
}

static int run_names(void *arg)
{
    struct master *m = arg;

    listeners_close_others(m->start->listeners, -1, -1);
    close(m->admin_fd);
    return names_serve(m->names_fd, addr_look_up);
}

static int run_console(void *arg)
{
    struct crew *crew = arg;
    struct master *m = crew->master;
    AUTO(file_lock) lock = NULL;
    struct err err;
    struct console_start start = {
        .options = crew->generation->options,
        .installation = crew->generation->installation,
        .listen_fd = m->start->listeners->console,
        .tls = crew->generation->tls,
        .admin_fd = m->admin_fd,
        .board = m->board,
        .names = &m->names,
    };

    listeners_close_others(m->start->listeners, -1, start.listen_fd);
    close(m->names_fd);
    lock = wait_for_console_lock(start.options->state, &err);
    if (!lock) {
        log_error("console_lock", "%s", err.text);
        return 1;
    }
    return console_run(&start);
}

static struct file_lock *wait_for_console_lock(const char *state, struct err *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * NANOS_PER_MS};
    AUTO_STRING path = path_join(state, "console.lock");
    struct file_lock *lock = file_lock_take(path, err);

    for (int tries = 0; !lock && err->code == ERR_EXISTS && tries < LOCK_TRIES; tries++) {
        nanosleep(&pause, NULL);
        lock = file_lock_take(path, err);
    }
    return lock;
}

/* In the child. The loop itself stays as it is: nothing runs it any more. */
static void on_forked(void *arg)
{
    struct master *m = arg;

    for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
        signal_watch_free(m->stop_watches[i]);
    signal_watch_free(m->on_hup);
}

static void on_death(void *arg, unsigned group)
{
    struct master *m = arg;

    if (m->next && m->next->generation->number == group)
        give_up_next(m, "one of its workers has ended");
}

/* Not so of those that were given up: what ran before them runs on. */
static void on_retired(void *arg, unsigned group)
{
    struct master *m = arg;
    unsigned present = m->present->generation->number;

    if (group < present && !children_retiring(m->children, present))
        log_outcome("all_reloaded", "all that ran before the last reload has ended");
}

static void on_task_end(void *arg, const char *name, bool succeeded)
{
    struct master *m = arg;

    if (succeeded || m->exit_code != 0)
        return;
    log_error("task_failed", "%s has failed: stopping", name);
    m->exit_code = 1;
    stop(m);
}

/* Ctrl-C reaches a script and what it started, and the script may then pass it on: one wish, two
 * signals. */
static void on_stop_signal(void *arg)
{
    struct master *m = arg;

    if (!m->stopping_since_ms) {
        log_info("stopping", "asked to stop: running calls may finish");
        stop(m);
    } else if (clock_monotonic_ms() - m->stopping_since_ms >= ASKED_AGAIN_MS) {
        log_warn("stopping", "asked to stop again: running calls are cut");
        stop(m);
    }
}

/* The sockets are closed, so that what comes now goes elsewhere; workers finish what they have. */
static void stop(struct master *m)
{
    supervisor_tell("STOPPING=1");
    m->stopping_since_ms = clock_monotonic_ms();
    listeners_clear(m->start->listeners);
    children_stop(m->children);
}

/* ------------------------------------------------------------------ a new config */

static void on_hup(void *arg)
{
    struct master *m = arg;

    if (m->stopping_since_ms)
        return;
    m->reload_again = m->next != NULL;
    if (!m->next)
        reload(m);
}

/* The new workers accept nothing until all of them can serve: the old are there until then. */
static void reload(struct master *m)
{
    struct err err;

    supervisor_tell_reloading();
    m->next = crew_load(m, &err);
    if (!m->next) {
        supervisor_tell("READY=1");
        metric_add(&m->seat->reloads_refused, 1);
        log_error("reload_refused", "the old config stays: %s", err.text);
        return;
    }
    log_info("reloading", "%s is good: its workers start", m->start->config);
    start_workers(m->next);
    timer_start(m->muster_end, MUSTER_MS);
}

static struct crew *crew_load(struct master *m, struct err *err)
{
    AUTO_CLEAR(buf) problems = {.max = PROBLEM_BYTES};
    size_t count = m->start->listeners->count;
    AUTO(generation) generation = NULL;
    AUTO(crew) crew = NULL;

    if (children_retiring(m->children, UINT_MAX) > RETIRING_CREWS * count) {
        err_set(err, ERR_LIMIT,
                "the workers of %d earlier reloads have not ended; reload again "
                "when their calls have, after drain_timeout at the latest",
                RETIRING_CREWS);
        return NULL;
    }
    generation = generation_load(m->start->config, m->present->generation, &problems);
    if (!generation) {
        log_problems(buf_span(&problems));
        err_set(err, ERR_INPUT, "%s has mistakes", m->start->config);
        return NULL;
    }
    crew = crew_new(m, KEEP(generation));
    crew->muster = muster_new(m->loop, count, on_muster, m, err);
    return crew->muster ? KEEP(crew) : NULL;
}

static void log_problems(struct span problems)
{
    while (problems.len > 0) {
        const char *end = memchr(problems.data, '\n', problems.len);
        size_t n = end ? (size_t)(end - problems.data) : problems.len;

        log_error("reload_problem", "%.*s", (int)n, problems.data);
        n += end != NULL;
        problems = (struct span){problems.data + n, problems.len - n};
    }
}

static void on_muster(void *arg)
{
    struct master *m = arg;
    struct crew *old = m->present;

    m->present = m->next;
    m->next = NULL;
    children_retire(m->children, old->generation->number, SIGHUP);
    start_console(m->present);
    metric_add(&m->seat->reloads, 1);
    log_outcome("reloaded", "the new config is in force; earlier workers finish their calls");
    crew_free(old);
    end_reload(m);
}

static void on_muster_end(void *arg)
{
    struct master *m = arg;

    if (m->next)
        give_up_next(m, "its workers are not ready to serve after a minute; their log says why");
}

static void give_up_next(struct master *m, const char *why)
{
    struct crew *next = m->next;

    m->next = NULL;
    metric_add(&m->seat->reloads_refused, 1);
    log_error("reload_given_up", "%s: the old config stays", why);
    children_retire(m->children, next->generation->number, SIGTERM);
    crew_free(next);
    if (!options_take_effect(m->present->generation->options, NULL))
        assert(!"the zone in force is known");
    end_reload(m);
}

static void end_reload(struct master *m)
{
    bool again = m->reload_again;

    supervisor_tell("READY=1");
    timer_stop(m->muster_end);
    muster_free(m->present->muster);
    m->present->muster = NULL;
    m->reload_again = false;
    if (again)
        reload(m);
}

/* ------------------------------------------------------------------ the end */

static void on_all_gone(void *arg)
{
    struct master *m = arg;

    loop_stop(m->loop);
}

/* Everything has ended in good order: who asks once more shall not make that a death by a signal. */
static void master_clear(struct master *m)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
        signal_watch_free(m->stop_watches[i]);
    signal_watch_free(m->on_hup);
    timer_free(m->muster_end);
    children_free(m->children);
    crew_free(m->next);
    crew_free(m->present);
    loop_free(m->loop);
    board_free(m->board);
    if (m->admin_fd >= 0)
        close(m->admin_fd);
    if (m->names_fd >= 0)
        close(m->names_fd);
}

int master_serve(const char *config, const struct options *options)
{
    AUTO(file_lock) lock = NULL;
    AUTO(tls_context) tls = NULL;
    AUTO_CLEAR(listeners) listeners = {.console = -1};
    AUTO_CLEAR(installation) installation = {.signing_key = NULL};
    struct err err;

    log_set_process("master");
    if (!privileges_make_dirs(options->user, options->state, options->journal, options->archive,
                              &err) ||
        !(lock = master_lock(options->state, &err)) || !open_up(options, &listeners, &tls, &err) ||
        !privileges_drop(options->user, &err) ||
        !installation_open(options->state, options->archive, options->zone, &installation, &err)) {
        log_error("start_failed", "%s", err.text);
        return 1;
    }
    return master_run(&(struct master_start){.config = config,
                                             .options = options,
                                             .installation = &installation,
                                             .listeners = &listeners,
                                             .tls = tls});
}

/* What may need root: low ports and the certificate's key. */
static bool open_up(const struct options *options, struct listeners *listeners,
                    struct tls_context **tls, struct err *err)
{
    *tls = tls_server_new(options->certificate, options->certificate_key, err);
    return *tls && listeners_open(options->listen, options->console_listen, worker_count(options),
                                  listeners, err);
}

static size_t worker_count(const struct options *options)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (options->workers > 0)
        return (size_t)options->workers;
    if (processors < 1)
        return 1;
    return processors < WORKERS_MAX ? (size_t)processors : WORKERS_MAX;
}
