/* console.c - puts the console process together: its own journal, the directories that nobody holds, the archive, the sweeper, and two doors. */
#include "gateway/console.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/sweeper.h"
#include "gateway/adoption.h"
#include "gateway/catalogue_load.h"
#include "gateway/changes.h"
#include "gateway/console_routes.h"
#include "gateway/console_state.h"
#include "gateway/service.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS           1000
#define ADOPTION_TICKS    3
#define ARCHIVE_TICKS     5
#define CATALOGUE_TICKS   30
#define JOURNAL_TICKS     5
#define SWEEP_MS          60000
#define KEYS_MAX          10000
#define REDIS_PENDING_MAX 100000
#define BATCH_RECORDS     50
#define BATCHES_MAX       16
#define RELEASE_NANOS     (35 * 24 * 3600 * NANOS_PER_SECOND)
#define ONE_COMMAND_MS    2000

struct process {
    struct console console;
    bool for_one_command;
    struct service api, admin;
    struct httpd *api_httpd, *admin_httpd;
    struct changes *changes;
    struct sweeper *sweeper;
    struct secret redis_password;
    struct redis_config redis_config;
    int journal_fd;
    struct watch *journal_watch;
    struct timer *tick;
    unsigned ticks;
    struct signal_watch *on_term, *on_int, *on_usr1;
    size_t doors; /* that still drain */
    int exit_code;
};

static bool build(struct process *p, const struct console_start *start, struct err *err);
static bool build_redis(struct process *p, struct err *err);
static void try_journal(struct process *p);
static bool attach_journal(struct process *p, struct journal *journal, struct err *err);
static void build_doors(struct process *p, const struct console_start *start);
static void dismantle(struct process *p);
static void on_tick(void *arg);
static void on_term(void *arg);
static void on_seal_asked(void *arg);

int console_run(const struct console_start *start)
{
    struct process p = {
        .journal_fd = -1, .exit_code = 1, .for_one_command = start->for_one_command};
    struct err err;

    log_set_process("console");
    if (build(&p, start, &err)) {
        log_info("console_started", "%s",
                 start->for_one_command ? "for one command" : start->options->console_listen);
        loop_run(p.console.loop);
    } else {
        log_error("console_failed", "%s", err.text);
    }
    dismantle(&p);
    return p.exit_code;
}

static bool build(struct process *p, const struct console_start *start, struct err *err)
{
    struct console *c = &p->console;

    c->options = start->options;
    c->installation = start->installation;
    if (!route_table_is_complete(console_routes, console_route_count, err) ||
        !route_table_is_complete(admin_routes, admin_route_count, err) ||
        !(c->loop = loop_new(err)))
        return false;
    p->on_term = signal_watch_new(c->loop, SIGTERM, on_term, p);
    p->on_int = signal_watch_new(c->loop, SIGINT, on_term, p);
    p->on_usr1 = signal_watch_new(c->loop, SIGUSR1, on_seal_asked, p);
    p->tick = timer_new(c->loop, on_tick, p);
    c->last_request_ms = clock_monotonic_ms();
    p->journal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->journal_fd < 0)
        return err_sys(err, "an event descriptor can't be made");
    if (!build_redis(p, err))
        return false;
    c->keyring = keyring_new(c->loop, c->redis, &c->installation->pepper, KEYS_MAX);
    c->adoption = adoption_new(c);
    p->sweeper =
        sweeper_new(c->loop, c->redis, &(struct sweeper_config){c->installation->id, SWEEP_MS});
    try_journal(p);
    build_doors(p, start);
    timer_start(p->tick, TICK_MS);
    return true;
}

/* ------------------------------------------------------------------ Redis and what is read from it */

static void on_redis_ready(void *arg);
static void on_redis_lost(void *arg, const struct err *err);
static void on_change(void *arg, struct span kind, struct span id);
static void on_reset(void *arg);
static void load_catalogue(struct process *p);
static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err);

static bool build_redis(struct process *p, struct err *err)
{
    static const struct redis_handlers handlers = {on_redis_ready, on_redis_lost};
    static const struct changes_handlers changes_handlers = {on_change, on_reset};
    const struct options *o = p->console.options;

    if (o->redis_password_file &&
        !secret_read_file(&p->redis_password, o->redis_password_file, err))
        return false;
    p->redis_config = (struct redis_config){
        .address = o->redis,
        .password = o->redis_password_file ? &p->redis_password : NULL,
        .user = o->redis_user,
        .connect_ms = o->redis_timeout,
        .command_ms = o->redis_timeout,
        .pending_max = REDIS_PENDING_MAX,
    };
    p->console.redis = redis_new(p->console.loop, &p->redis_config, &handlers, p, err);
    if (!p->console.redis)
        return false;
    p->changes = changes_new(p->console.loop, &p->redis_config, &changes_handlers, p, err);
    return p->changes != NULL;
}

static void on_redis_ready(void *arg)
{
    struct process *p = arg;

    log_info("redis_ready", "%s", p->console.options->redis);
    if (p->console.projection)
        projection_redis_ready(p->console.projection);
    adoption_redis_ready(p->console.adoption);
    load_catalogue(p);
}

static void on_redis_lost(void *arg, const struct err *err)
{
    struct process *p = arg;

    log_warn("redis_lost", "%s", err->text);
    if (p->console.projection)
        projection_redis_lost(p->console.projection);
    adoption_redis_lost(p->console.adoption);
}

static void on_change(void *arg, struct span kind, struct span id)
{
    struct process *p = arg;
    char public_id[KEY_ID_PUBLIC];

    if (span_equal(kind, SPAN("catalogue")))
        load_catalogue(p);
    else if (span_equal(kind, SPAN("key")) && span_copy(id, public_id, sizeof public_id))
        keyring_forget(p->console.keyring, public_id);
}

static void on_reset(void *arg)
{
    struct process *p = arg;

    keyring_forget_all(p->console.keyring);
    load_catalogue(p);
}

static void load_catalogue(struct process *p)
{
    catalogue_load(p->console.redis, on_catalogue, p);
}

/* Answers come in the order of the questions, so the newest snapshot stays. */
static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err)
{
    struct process *p = arg;

    if (!catalogue) {
        log_debug("catalogue_not_read", "%s", err->text);
        return;
    }
    catalogue_free(p->console.catalogue);
    p->console.catalogue = catalogue;
}

int64_t console_revision(struct console *c)
{
    int64_t now = journal_now(c->journal) / NANOS_PER_MS;

    c->revision = now > c->revision ? now : c->revision + 1;
    return c->revision;
}

/* ------------------------------------------------------------------ the console's own journal */

static void on_journal_news(void *arg);
static void on_stopped(void *arg, const struct err *err);

static void try_journal(struct process *p)
{
    const struct options *o = p->console.options;
    struct journal_config config = {.root = o->journal,
                                    .archive = o->archive,
                                    .installation = p->console.installation->id,
                                    .segment_bytes = o->journal_segment,
                                    .segment_age_ms = 3600 * 1000};
    AUTO_CLEAR(buf) damaged = {.max = 4096};
    struct err err;
    AUTO(journal) journal = journal_open(&config, &damaged, &err);

    if (damaged.len)
        log_error("journal_damaged", "%s", damaged.data);
    if (!journal || !journal_start(journal, p->journal_fd, &err) ||
        !attach_journal(p, journal, &err))
        log_error("journal_unavailable", "nothing can be changed until it can be opened: %s",
                  err.text);
    else
        (void)KEEP(journal);
}

static bool attach_journal(struct process *p, struct journal *journal, struct err *err)
{
    static const struct projection_handlers handlers = {NULL, NULL, on_stopped};
    struct console *c = &p->console;
    struct projection_config config = {c->installation->id, c->options->archive, BATCH_RECORDS,
                                       BATCHES_MAX};

    p->journal_watch = watch_new(c->loop, p->journal_fd, on_journal_news, NULL, p);
    if (!p->journal_watch)
        return err_set(err, ERR_IO, "the journal's descriptor can't be watched");
    watch_want(p->journal_watch, true, false);
    c->journal = journal;
    c->projection = projection_new(c->loop, c->redis, journal, &config, &handlers, p);
    if (redis_is_ready(c->redis))
        projection_redis_ready(c->projection);
    return true;
}

static void on_journal_news(void *arg)
{
    struct process *p = arg;
    uint64_t count;

    if (read(p->journal_fd, &count, sizeof count) == (ssize_t)sizeof count) {
        journal_completed(p->console.journal);
        projection_wake(p->console.projection);
    }
}

static void on_stopped(void *arg, const struct err *err)
{
    (void)arg;
    log_error("shipping_stopped", "an operator must look: %s", err->text);
}

/* ------------------------------------------------------------------ the doors */

static void build_doors(struct process *p, const struct console_start *start)
{
    const struct options *o = p->console.options;
    struct httpd_limits limits = {
        .head = {.head_bytes_max = (size_t)o->head_bytes,
                 .target_bytes_max = (size_t)o->target_bytes},
        .body_bytes_max = (size_t)o->body_bytes,
        .handshake_ms = o->handshake_timeout,
        .head_ms = o->head_timeout,
        .idle_ms = o->idle_timeout,
        .body_rate_min = o->body_rate,
        .connections_max = (size_t)o->connections,
    };

    p->api = (struct service){.routes = console_routes, .route_count = console_route_count};
    p->admin = (struct service){.routes = admin_routes, .route_count = admin_route_count};
    p->api.server = p->admin.server = &p->console;
    p->api.keyring = p->admin.keyring = p->console.keyring;
    p->api.installation = p->admin.installation = p->console.installation;
    p->api.body_bytes_max = p->admin.body_bytes_max = (size_t)o->body_bytes;
    if (start->listen_fd >= 0)
        p->api_httpd = httpd_new(p->console.loop, start->listen_fd, start->tls, &limits,
                                 &service_handler, &p->api);
    p->admin_httpd =
        httpd_new(p->console.loop, start->admin_fd, NULL, &limits, &service_handler, &p->admin);
}

/* ------------------------------------------------------------------ once a second, and signals */

static void archive_now(struct process *p)
{
    const struct options *o = p->console.options;
    size_t count;
    struct err err;

    if (!archive_add_sealed(o->archive, o->journal, &count, &err) ||
        !archive_release_segments(o->archive, o->journal, RELEASE_NANOS, &count, &err))
        log_error("archive_failed", "it is tried again: %s", err.text);
}

static void on_tick(void *arg)
{
    struct process *p = arg;
    struct console *c = &p->console;

    timer_start(p->tick, TICK_MS);
    p->ticks++;
    if (c->journal)
        journal_tick(c->journal);
    else if (p->ticks % JOURNAL_TICKS == 0)
        try_journal(p);
    if (p->ticks % ADOPTION_TICKS == 0)
        adoption_look(c->adoption);
    if (p->ticks % ARCHIVE_TICKS == 0)
        archive_now(p);
    if (p->ticks % CATALOGUE_TICKS == 0 && redis_is_ready(c->redis))
        load_catalogue(p);
    if (httpd_connection_count(p->admin_httpd))
        c->last_request_ms = clock_monotonic_ms();
    if (p->for_one_command && clock_monotonic_ms() - c->last_request_ms >= ONE_COMMAND_MS)
        on_term(p);
}

static void on_seal_asked(void *arg)
{
    struct process *p = arg;

    if (p->console.journal)
        journal_seal(p->console.journal, NULL, NULL);
}

static void on_drained(void *arg);

static void on_term(void *arg)
{
    struct process *p = arg;

    if (p->doors)
        return;
    p->doors = 1 + (p->api_httpd != NULL);
    httpd_drain(p->admin_httpd, on_drained, p);
    if (p->api_httpd)
        httpd_drain(p->api_httpd, on_drained, p);
}

static void on_drained(void *arg)
{
    struct process *p = arg;

    if (--p->doors == 0) {
        p->exit_code = 0;
        loop_stop(p->console.loop);
    }
}

static void dismantle(struct process *p)
{
    struct console *c = &p->console;

    timer_free(p->tick);
    httpd_free(p->api_httpd);
    httpd_free(p->admin_httpd);
    changes_free(p->changes);
    sweeper_free(p->sweeper);
    adoption_free(c->adoption);
    projection_free(c->projection);
    redis_free(c->redis);
    watch_free(p->journal_watch);
    journal_free(c->journal);
    keyring_free(c->keyring);
    catalogue_free(c->catalogue);
    signal_watch_free(p->on_term);
    signal_watch_free(p->on_int);
    signal_watch_free(p->on_usr1);
    secret_clear(&p->redis_password);
    if (p->journal_fd >= 0)
        close(p->journal_fd);
    loop_free(c->loop);
}
