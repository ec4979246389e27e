/* master.c - it holds the listening sockets for as long as it lives, so that a worker that is
 * started again finds the connections that came meanwhile. It does nothing else that could fail. */
#include "gateway/master.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "gateway/console.h"
#include "gateway/privileges.h"
#include "gateway/worker.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define ADMIN_TRIES     100 /* a command's own console may be about to end */
#define LOCK_TRIES      300
#define PAUSE_MS        100
#define WORKER_GRACE_MS 20000
#define CONSOLE_STOP_MS 20000
#define ASKED_AGAIN_MS  1000
#define WORKER_NAME     16

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct master;
struct slot {
    struct master *master;
    unsigned number;
    char name[WORKER_NAME];
};

struct master {
    const struct master_start *start;
    struct loop *loop;
    struct children *children;
    struct signal_watch *stop_watches[ARRAY_LEN(stop_signals)];
    struct slot *slots;
    int admin_fd;
    int64_t stopping_since_ms; /* 0: not asked to stop */
    int exit_code;
};

static bool prepare(struct master *m, struct err *err);
static int open_admin(const char *state, struct err *err);
static void start_all(struct master *m);
static int64_t worker_stop_ms(const struct options *o);
static int run_worker(void *arg);
static int run_console(void *arg);
static struct file_lock *wait_for_console_lock(const char *state, struct err *err);
static void on_forked(void *arg);
static void on_task_end(void *arg, const char *name, bool succeeded);
static void on_all_gone(void *arg);
static void on_stop_signal(void *arg);
static void stop(struct master *m);
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
    struct master m = {.start = start, .admin_fd = -1};
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
    static const struct children_handlers handlers = {on_forked, on_task_end, on_all_gone};

    log_set_process("master");
    prctl(PR_SET_NAME, "tg-master");
    m->admin_fd = open_admin(m->start->options->state, err);
    if (m->admin_fd < 0)
        return false;
    m->loop = loop_new(err);
    if (!m->loop)
        return false;
    m->children = children_new(m->loop, &handlers, m);
    for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
        m->stop_watches[i] = signal_watch_new(m->loop, stop_signals[i], on_stop_signal, m);
    return true;
}

static int open_admin(const char *state, struct err *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * NANOS_PER_MS};
    AUTO_STRING path = path_join(state, "admin.sock");
    AUTO_STRING text = xasprintf("unix:%s", path);
    struct err why = {.code = ERR_EXISTS};
    struct addr addr;
    int fd = -1;

    if (!addr_parse(text, &addr, err))
        return -1;
    for (int tries = 0; fd < 0 && why.code == ERR_EXISTS && tries < ADMIN_TRIES; tries++) {
        if (tries > 0)
            nanosleep(&pause, NULL);
        fd = addr_listen(&addr, NULL, &why);
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
    children_add(m->children, &(struct child_plan){.name = "console",
                                                   .run = run_console,
                                                   .arg = m,
                                                   .rank = RANK_CONSOLE,
                                                   .stop_ms = CONSOLE_STOP_MS});
    m->slots = xcalloc(s->listeners->count, sizeof *m->slots);
    for (unsigned i = 0; i < s->listeners->count; i++) {
        struct slot *slot = &m->slots[i];

        *slot = (struct slot){.master = m, .number = i};
        snprintf(slot->name, sizeof slot->name, "worker %u", i);
        children_add(m->children, &(struct child_plan){.name = slot->name,
                                                       .run = run_worker,
                                                       .arg = slot,
                                                       .rank = RANK_WORKERS,
                                                       .stop_ms = worker_stop_ms(s->options)});
    }
    log_info("started", "the API is at https://%s, the console at https://%s, with %zu workers",
             s->listeners->api_address, s->listeners->console_address, s->listeners->count);
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
    struct master *m = slot->master;
    struct worker_start start = {
        .options = m->start->options,
        .installation = m->start->installation,
        .listen_fd = m->start->listeners->api[slot->number],
        .tls = m->start->tls,
        .slot = slot->number,
    };

    listeners_close_others(m->start->listeners, start.listen_fd, -1);
    close(m->admin_fd);
    return worker_run(&start);
}

static int run_console(void *arg)
{
    struct master *m = arg;
    AUTO(file_lock) lock = NULL;
    struct err err;
    struct console_start start = {
        .options = m->start->options,
        .installation = m->start->installation,
        .listen_fd = m->start->listeners->console,
        .tls = m->start->tls,
        .admin_fd = m->admin_fd,
    };

    listeners_close_others(m->start->listeners, -1, start.listen_fd);
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
    m->stopping_since_ms = clock_monotonic_ms();
    listeners_clear(m->start->listeners);
    children_stop(m->children);
}

static void on_all_gone(void *arg)
{
    struct master *m = arg;

    loop_stop(m->loop);
}

static void master_clear(struct master *m)
{
    for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
        signal_watch_free(m->stop_watches[i]);
    children_free(m->children);
    loop_free(m->loop);
    free(m->slots);
    if (m->admin_fd >= 0)
        close(m->admin_fd);
}

int master_serve(const struct options *options)
{
    AUTO(file_lock) lock = NULL;
    AUTO(tls_context) tls = NULL;
    AUTO_CLEAR(listeners) listeners = {.console = -1};
    AUTO_CLEAR(installation) installation = {.signing_key = NULL};
    struct err err;

    log_set_process("master");
    if (!privileges_make_dirs(options, &err) || !(lock = master_lock(options->state, &err)) ||
        !open_up(options, &listeners, &tls, &err) || !privileges_drop(options->user, &err) ||
        !installation_open(options->state, options->archive, options->zone, &installation, &err)) {
        log_error("start_failed", "%s", err.text);
        return 1;
    }
    return master_run(&(struct master_start){
        .options = options, .installation = &installation, .listeners = &listeners, .tls = tls});
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
