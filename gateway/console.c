/* console.c - puts the console process together: its own journal, the directories that nobody holds, the archive, the sweeper, and two doors. */
#include "gateway/console.h"

#include <signal.h>

#include "billing/archive.h"
#include "billing/sweeper.h"
#include "billing/trimmer.h"
#include "gateway/adoption.h"
#include "gateway/catalogue_backends.h"
#include "gateway/console_routes.h"
#include "gateway/console_state.h"
#include "gateway/desk.h"
#include "gateway/fence.h"
#include "gateway/grant_expiry.h"
#include "gateway/notifier.h"
#include "gateway/past_reader.h"
#include "gateway/rebuild.h"
#include "gateway/service.h"
#include "gateway/turn.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/addr.h"

#define TICK_MS        1000
#define ADOPTION_TICKS 3
#define ARCHIVE_TICKS  5
#define FENCE_TICKS    60
#define SWEEP_MS       60000
#define TRIM_REST_MS   10000
#define RELEASE_NANOS  (35 * 24 * 3600 * NANOS_PER_SECOND)
#define ONE_COMMAND_MS 2000
#define RETIRE_MS      1000

struct process {
    struct console console;
    bool for_one_command;
    struct service api, admin;
    struct reporter reporter;
    struct httpd *api_httpd, *admin_httpd;
    struct sweeper *sweeper;
    struct trimmer *trimmer;
    struct timer *tick, *retire_end;
    unsigned ticks;
    struct signal_watch *on_term, *on_int, *on_hup, *on_usr1;
    size_t doors;              /* that still drain */
    bool is_retiring, is_over; /* over: signals say nothing more */
    int exit_code;
};

static bool build(struct process *p, const struct console_start *start, struct err *err);
static void wait_for_redis(struct process *p);
static void build_doors(struct process *p, const struct console_start *start);
static void dismantle(struct process *p);
static void on_redis(void *arg, bool is_ready);
static void on_rebuild(void *arg);
static void on_tick(void *arg);
static void archive_last(const struct process *p);
static void on_term(void *arg);
static void on_retire(void *arg);
static void on_seal_asked(void *arg);

int console_run(const struct console_start *start)
{
    struct process p = {.exit_code = 1, .for_one_command = start->for_one_command};
    struct err err;

    log_set_process("console");
    if (build(&p, start, &err)) {
        wait_for_redis(&p);
        build_doors(&p, start);
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
    struct ledger_handlers handlers = {
        .on_redis = on_redis, .on_rebuild = on_rebuild, .has_changes = true};
    struct console *c = &p->console;

    if (start->board) {
        p->reporter.seat = board_sit(start->board);
        handlers.sync_times = &p->reporter.seat->syncs;
    }
    c->board = start->board;
    c->options = start->options;
    c->installation = start->installation;
    if (!route_table_is_complete(console_routes, console_route_count, err) ||
        !route_table_is_complete(admin_routes, admin_route_count, err) ||
        !(c->loop = loop_new(err)))
        return false;
    p->on_term = signal_watch_new(c->loop, SIGTERM, on_term, p);
    p->on_int = signal_watch_new(c->loop, SIGINT, on_term, p);
    p->on_hup = signal_watch_new(c->loop, SIGHUP, on_retire, p);
    p->on_usr1 = signal_watch_new(c->loop, SIGUSR1, on_seal_asked, p);
    p->tick = timer_new(c->loop, on_tick, p);
    p->retire_end = timer_new(c->loop, on_term, p);
    c->adoption = adoption_new(c);
    c->rebuild = rebuild_new(c);
    c->ledger =
        (struct ledger){.options = c->options, .installation = c->installation, .loop = c->loop};
    if (!ledger_open(&c->ledger, &handlers, p, err))
        return false;
    p->sweeper = sweeper_new(c->loop, c->ledger.redis,
                             &(struct sweeper_config){c->installation->id, SWEEP_MS});
    c->archived = archive_index_new(c->options->archive);
    c->past_reader = past_reader_new(c->loop, c->ledger.redis, c->options->archive, c->archived);
    c->history = (struct history){c->loop, c->ledger.redis, past_of_reader(c->past_reader)};
    p->trimmer = trimmer_new(c->loop, c->ledger.redis, c->archived,
                             &(struct trimmer_config){.keep_ms = c->options->recent_time,
                                                      .keep_entries = c->options->recent_calls,
                                                      .rest_ms = TRIM_REST_MS});
    if (!start->for_one_command)
        c->expiry = grant_expiry_new(c);
    timer_start(p->tick, TICK_MS);
    if (start->names && !(c->notifier = notifier_new(c, start->names, p->reporter.seat, err)))
        return false;
    return true;
}

static void on_redis(void *arg, bool is_ready)
{
    struct process *p = arg;

    if (is_ready) {
        fence_restore(&p->console);
        adoption_redis_ready(p->console.adoption);
        rebuild_redis_ready(p->console.rebuild);
    } else {
        adoption_redis_lost(p->console.adoption);
        rebuild_redis_lost(p->console.rebuild);
    }
}

/* Another console's, or ours. */
static void on_rebuild(void *arg)
{
    struct process *p = arg;

    adoption_visit_all(p->console.adoption);
}

/* Who asks at once waits in the socket's queue a moment, and is not told that Redis is away when it is not. */
static void wait_for_redis(struct process *p)
{
    struct console *c = &p->console;

    if (!loop_run_until(c->loop, &c->ledger.has_catalogue, c->options->redis_timeout))
        log_warn("redis_awaited", "the console goes on without Redis");
    else if (!p->for_one_command)
        backends_warn(c->options, c->ledger.catalogue);
    c->last_request_ms = clock_monotonic_ms();
}

static bool is_here(const char *listen)
{
    struct addr addr;

    return addr_parse(listen, &addr, NULL) && addr_is_loopback(&addr);
}

static void build_doors(struct process *p, const struct console_start *start)
{
    struct httpd_limits limits = service_limits(p->console.options);

    p->api = (struct service){.routes = console_routes, .route_count = console_route_count};
    p->admin = (struct service){.routes = admin_routes, .route_count = admin_route_count};
    p->api.server = p->admin.server = &p->console;
    p->api.keyring = p->admin.keyring = p->console.ledger.keyring;
    p->api.installation = p->admin.installation = p->console.installation;
    p->api.is_here = is_here(start->options->console_listen);
    p->api.reporter = p->reporter.seat ? &p->reporter : NULL;
    p->api.body_bytes_max = p->admin.body_bytes_max = limits.body_bytes_max;
    if (start->listen_fd >= 0)
        p->api_httpd = httpd_new(p->console.loop, start->listen_fd, start->tls, &limits,
                                 &service_handler, &p->api);
    p->admin_httpd =
        httpd_new(p->console.loop, start->admin_fd, NULL, &limits, &service_handler, &p->admin);
}

int64_t console_revision(struct console *c)
{
    int64_t now = journal_now(c->ledger.journal) / NANOS_PER_MS;

    c->revision = now > c->revision ? now : c->revision + 1;
    return c->revision;
}

/* ------------------------------------------------------------------ once a second, and signals */

static void archive_now(struct process *p)
{
    const struct options *o = p->console.options;
    struct console *c = &p->console;
    int64_t unsealed = c->board ? board_unsealed_since(c->board) : 0; /* for one command: none */
    size_t count;
    struct err err;

    c->archive_fails =
        !archive_add_sealed(o->archive, o->journal, &count, &err) ||
        !archive_release_segments(o->archive, o->journal, RELEASE_NANOS, &count, &err);
    if (c->archive_fails)
        log_error("archive_failed", "it is tried again: %s", err.text);
    else
        c->archived_at = clock_now();
    if (!c->archive_fails || !c->unarchived_since)
        c->unarchived_since = unsealed;
}

/* What was sealed as journals were closed: a host that is not coming back soon leaves nothing behind. */
static void archive_last(const struct process *p)
{
    const struct options *o = p->console.options;
    size_t count;
    struct err err;

    if (p->exit_code == 0 && !archive_add_sealed(o->archive, o->journal, &count, &err))
        log_error("archive_failed", "the next console tries it again: %s", err.text);
}

static void on_tick(void *arg)
{
    struct process *p = arg;
    struct console *c = &p->console;

    timer_start(p->tick, TICK_MS);
    p->ticks++;
    ledger_tick(&c->ledger);
    if (p->reporter.seat && c->ledger.projection)
        metric_set(&p->reporter.seat->unshipped, projection_lag(c->ledger.projection));
    if (p->reporter.seat && c->ledger.journal)
        metric_set(&p->reporter.seat->unsealed_since,
                   (uint64_t)journal_unsealed_since(c->ledger.journal));
    if (p->ticks % ADOPTION_TICKS == 0 && !p->is_over)
        adoption_look(c->adoption);
    if (p->ticks % ARCHIVE_TICKS == 0)
        archive_now(p);
    if (p->ticks % FENCE_TICKS == 0 && redis_is_partly_ready(c->ledger.redis))
        fence_restore(c);
    if (!p->admin_httpd || httpd_connection_count(p->admin_httpd))
        c->last_request_ms = clock_monotonic_ms();
    if (p->for_one_command && clock_monotonic_ms() - c->last_request_ms >= ONE_COMMAND_MS)
        on_term(p);
}

static void on_seal_asked(void *arg)
{
    struct process *p = arg;

    ledger_seal(&p->console.ledger);
}

static void on_drained(void *arg);
static void on_finished(void *arg);
static void on_retired(void *arg);

/* Another console waits for the lock: who is connected may ask what it came for, not for long. */
static void on_retire(void *arg)
{
    struct process *p = arg;

    if (p->doors || p->is_retiring || p->is_over)
        return;
    p->is_retiring = true;
    timer_start(p->retire_end, RETIRE_MS);
    if (p->admin_httpd)
        httpd_retire(p->admin_httpd, on_retired, p);
    if (p->api_httpd)
        httpd_retire(p->api_httpd, on_retired, p);
}

static void on_retired(void *arg)
{
    struct process *p = arg;

    if (p->admin_httpd && p->api_httpd && httpd_connection_count(p->admin_httpd) == 0 &&
        httpd_connection_count(p->api_httpd) == 0)
        timer_start(p->retire_end, 0);
}

static void on_term(void *arg)
{
    struct process *p = arg;

    if (p->doors || p->is_over)
        return;
    p->doors = (p->admin_httpd != NULL) + (p->api_httpd != NULL);
    if (p->admin_httpd)
        httpd_drain(p->admin_httpd, on_drained, p);
    if (p->api_httpd)
        httpd_drain(p->api_httpd, on_drained, p);
    if (!p->admin_httpd && !p->api_httpd)
        on_drained(p);
}

static void on_drained(void *arg)
{
    struct process *p = arg;

    if (p->doors)
        p->doors--;
    if (p->doors)
        return;
    p->is_over = true;
    ledger_finish(&p->console.ledger, on_finished, p);
}

static void on_finished(void *arg)
{
    struct process *p = arg;

    p->exit_code = 0;
    loop_stop(p->console.loop);
}

static void dismantle(struct process *p)
{
    struct console *c = &p->console;

    p->is_over = true;
    notifier_stop(c->notifier);
    timer_free(p->tick);
    timer_free(p->retire_end);
    httpd_free(p->api_httpd);
    httpd_free(p->admin_httpd);
    sweeper_free(p->sweeper);
    trimmer_free(p->trimmer);
    past_reader_free(c->past_reader);
    archive_index_free(c->archived);
    adoption_free(c->adoption);
    ledger_close(&c->ledger);
    notifier_free(c->notifier);
    archive_last(p);
    rebuild_free(c->rebuild);
    grant_expiry_free(c->expiry);
    desk_close(c);
    turns_close(c);
    signal_watch_free(p->on_term);
    signal_watch_free(p->on_int);
    signal_watch_free(p->on_hup);
    signal_watch_free(p->on_usr1);
    loop_free(c->loop);
}
