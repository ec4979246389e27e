/* worker.c - puts a worker process together and takes it down without cutting a call. */
#include "gateway/worker.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/api_routes.h"
#include "gateway/options_backend.h"
#include "gateway/muster.h"
#include "gateway/paid_call.h"
#include "gateway/past_client.h"
#include "gateway/readiness.h"
#include "gateway/server.h"
#include "gateway/service.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define TICK_MS  1000
#define READY_MS 20

struct worker {
    const struct worker_start *start;
    struct server server;
    struct service service;
    struct reporter reporter;
    struct httpd *httpd; /* null while it waits to be ready */
    struct timer *tick;
    struct timer *ready;
    struct timer *drain_end;
    bool waits_for_redis;  /* to have all that was spent without it */
    uint64_t taken_before; /* offline_taken() when it began to wait */
    bool is_leaving;       /* asked to stop, or retired */
    bool is_drained;       /* the last client has its last byte */
    bool is_finishing;     /* likewise the last call its END: that goes to Redis */
    struct signal_watch *on_term, *on_int, *on_hup, *on_usr1;
    int exit_code;
};

static const struct names_times names_times = {
    .fresh_ms = 30000, .retry_ms = 2000, .answer_ms = 15000};

static bool build(struct worker *w, const struct worker_start *start, struct err *err);
static bool open_reporter(struct worker *w, struct err *err);
static bool build_backends(struct server *s, struct err *err);
static void build_offline(struct server *s);
static void open_door(struct worker *w);
static void dismantle(struct worker *w);

static void on_journal(void *arg);
static void on_put_holds(void *arg);
static void on_tick(void *arg);
static void on_ready_timer(void *arg);
static void on_term(void *arg);
static void on_retire(void *arg);
static void on_drain_end(void *arg);
static void on_seal_asked(void *arg);

int worker_run(const struct worker_start *start)
{
    struct worker w = {.start = start, .exit_code = 1};
    char name[32];
    struct err err;

    snprintf(name, sizeof name, "worker %u", start->slot);
    log_set_process(name);
    if (build(&w, start, &err)) {
        log_info("worker_started", "serving %s", start->options->listen);
        loop_run(w.server.loop);
    } else {
        log_error("worker_failed", "%s", err.text);
    }
    dismantle(&w);
    return w.exit_code;
}

static bool build(struct worker *w, const struct worker_start *start, struct err *err)
{
    const struct ledger_handlers handlers = {
        .on_journal = on_journal, .on_put_holds = on_put_holds, .sync_times = &start->seat->syncs};
    struct server *s = &w->server;

    s->options = start->options;
    s->installation = start->installation;
    if (!route_table_is_complete(api_routes, api_route_count, err) || !(s->loop = loop_new(err)))
        return false;
    w->on_term = signal_watch_new(s->loop, SIGTERM, on_term, w);
    w->on_int = signal_watch_new(s->loop, SIGINT, on_term, w);
    w->on_hup = signal_watch_new(s->loop, SIGHUP, on_retire, w);
    w->on_usr1 = signal_watch_new(s->loop, SIGUSR1, on_seal_asked, w);
    w->tick = timer_new(s->loop, on_tick, w);
    w->ready = timer_new(s->loop, on_ready_timer, w);
    w->drain_end = timer_new(s->loop, on_drain_end, w);
    build_offline(s);
    s->names = names_new(s->loop, start->names, &names_times);
    s->ledger =
        (struct ledger){.options = s->options, .installation = s->installation, .loop = s->loop};
    if (!open_reporter(w, err) || !build_backends(s, err) ||
        !(s->past_client = past_client_new(s->loop, s->options->state, err)) ||
        !ledger_open(&s->ledger, &handlers, w, err))
        return false;
    s->history = (struct history){s->loop, s->ledger.redis, past_of_client(s->past_client)};
    if (start->ready_fd < 0)
        open_door(w);
    else
        timer_start(w->ready, READY_MS);
    timer_start(w->tick, TICK_MS);
    return true;
}

static bool open_reporter(struct worker *w, struct err *err)
{
    const char *path = w->start->options->access_log;

    w->reporter.seat = w->start->seat;
    metric_set(&w->reporter.seat->is_worker, 1);
    if (!path)
        return true;
    w->reporter.access = access_log_open(path, err);
    return w->reporter.access != NULL;
}

static bool build_backends(struct server *s, struct err *err)
{
    const struct options *o = s->options;

    s->backends = xcalloc(o->backend_count + 1, sizeof *s->backends);
    for (size_t i = 0; i < o->backend_count; i++) {
        const struct backend_options *b = &o->backends[i];
        AUTO_CLEAR(options_backend) settings = {.config = {.kind = NULL}};

        if (!options_backend_read(&settings, o, b, err))
            return err_context(err, "backend %s", b->title);
        settings.config.names = s->names;
        s->backends[i].name = b->title;
        breaker_init(&s->backends[i].breaker, b->title, b->breaker_failures, b->breaker_time);
        s->backends[i].backend = backend_open(s->loop, &settings.config, err);
        if (!s->backends[i].backend)
            return err_context(err, "backend %s", b->title);
        s->backend_count++;
    }
    return true;
}

static void build_offline(struct server *s)
{
    struct offline_config config = {.age_ms = s->options->offline_age};
    bool is_amount =
        decimal_parse(span_of(s->options->offline_allowance), &config.allowance_nanos, NULL);

    assert(is_amount); /* options_check.c has seen it */
    (void)is_amount;
    s->offline = offline_new(&config);
}

static void open_door(struct worker *w)
{
    struct httpd_limits limits = service_limits(w->server.options);

    w->service = (struct service){
        .routes = api_routes,
        .route_count = api_route_count,
        .server = &w->server,
        .keyring = w->server.ledger.keyring,
        .installation = w->server.installation,
        .body_bytes_max = limits.body_bytes_max,
        .reporter = &w->reporter,
    };
    w->httpd = httpd_new(w->server.loop, w->start->listen_fd, w->start->tls, &limits,
                         &service_handler, &w->service);
}

/* ------------------------------------------------------------------ what the ledger tells */

static void on_holds_are_back(void *arg);

static void on_journal(void *arg)
{
    struct worker *w = arg;
    struct server *s = &w->server;
    struct admission_config config = {s->installation->id,
                                      journal_writer(s->ledger.journal),
                                      journal_turn(s->ledger.journal),
                                      s->options->recovering_wait,
                                      s->options->stored_answers,
                                      s->offline};

    s->admission = admission_new(s->loop, s->ledger.redis, &config);
    s->calls = paid_calls_new(s);
}

static void on_put_holds(void *arg)
{
    struct worker *w = arg;

    admission_put_again(w->server.admission, on_holds_are_back, w);
}

static void on_holds_are_back(void *arg)
{
    struct worker *w = arg;

    projection_holds_are_back(w->server.ledger.projection);
}

/* Those who serve until then go on: connections that come meanwhile are theirs. */
static void on_ready_timer(void *arg)
{
    struct worker *w = arg;

    if (readiness_reason(&w->server)) {
        timer_start(w->ready, READY_MS);
        return;
    }
    open_door(w);
    muster_report(w->start->ready_fd, w->start->slot);
}

/* ------------------------------------------------------------------ once a second, and signals */

static void watch_outage(struct worker *w);
static void show(struct worker *w);
static void on_redis_has_all(void *arg);
static void stop_if_over(struct worker *w);
static void on_finished(void *arg);
static size_t connection_count(const struct worker *w);
static void close_door(struct worker *w);
static void on_drained(void *arg);

static void on_tick(void *arg)
{
    struct worker *w = arg;

    timer_start(w->tick, TICK_MS);
    ledger_tick(&w->server.ledger);
    if (w->server.calls)
        paid_calls_progress(w->server.calls);
    watch_outage(w);
    show(w);
    stop_if_over(w);
}

static void show(struct worker *w)
{
    const struct server *s = &w->server;
    struct seat *seat = w->reporter.seat;

    metric_set(&seat->is_ready, !readiness_reason(s));
    metric_set(&seat->open_calls, s->calls ? paid_calls_open(s->calls) : 0);
    metric_set(&seat->connections, connection_count(w));
    metric_set(&seat->open_holds, s->admission ? admission_holds(s->admission) : 0);
    metric_set(&seat->unsealed_since,
               s->ledger.journal ? (uint64_t)journal_unsealed_since(s->ledger.journal) : 0);
    for (size_t i = 0; i < s->backend_count; i++)
        board_show_breaker(seat, i, s->backends[i].name, s->backends[i].breaker.state);
    metric_set(&seat->unshipped, s->ledger.projection ? projection_lag(s->ledger.projection) : 0);
}

/* Its end is when Redis has all that was journaled, and nothing more was spent without it meanwhile. */
static void watch_outage(struct worker *w)
{
    struct server *s = &w->server;
    uint64_t taken = offline_taken(s->offline);

    if (!taken || w->waits_for_redis || !s->ledger.projection || !redis_is_ready(s->ledger.redis))
        return;
    w->taken_before = taken;
    w->waits_for_redis = true;
    projection_when_current(s->ledger.projection, on_redis_has_all, w);
}

static void on_redis_has_all(void *arg)
{
    struct worker *w = arg;

    w->waits_for_redis = false;
    if (offline_taken(w->server.offline) == w->taken_before)
        offline_end(w->server.offline);
}

static void on_seal_asked(void *arg)
{
    struct worker *w = arg;

    ledger_seal(&w->server.ledger);
}

static void on_term(void *arg)
{
    struct worker *w = arg;

    if (w->server.draining)
        return;
    w->server.draining = true;
    if (!w->is_leaving)
        timer_start(w->drain_end, w->server.options->drain_timeout);
    w->is_leaving = true;
    log_info("worker_draining", "%zu connections are open", connection_count(w));
    close_door(w);
}

static size_t connection_count(const struct worker *w)
{
    return w->httpd ? httpd_connection_count(w->httpd) : 0;
}

static void close_door(struct worker *w)
{
    timer_stop(w->ready);
    if (w->httpd)
        httpd_drain(w->httpd, on_drained, w);
    else
        on_drained(w);
}

/* For those who ask once more it is as ready as ever. */
static void on_retire(void *arg)
{
    struct worker *w = arg;

    if (w->is_leaving || !w->httpd)
        return;
    w->is_leaving = true;
    timer_start(w->drain_end, w->server.options->drain_timeout);
    log_info("worker_retiring", "others serve now; %zu connections are open", connection_count(w));
    httpd_retire(w->httpd, on_drained, w);
}

static void on_drained(void *arg)
{
    struct worker *w = arg;

    w->is_drained = true;
    stop_if_over(w);
}

/* A call may still be settling when its client has gone. */
static void stop_if_over(struct worker *w)
{
    if (!w->is_drained || w->is_finishing ||
        (w->server.calls && paid_calls_open(w->server.calls) > 0))
        return;
    w->is_finishing = true;
    ledger_finish(&w->server.ledger, on_finished, w);
}

static void on_finished(void *arg)
{
    struct worker *w = arg;

    w->exit_code = 0;
    loop_stop(w->server.loop);
}

/* Again and again: a call that waited to be admitted may have begun meanwhile. */
static void on_drain_end(void *arg)
{
    struct worker *w = arg;

    if (w->server.calls)
        paid_calls_cut(w->server.calls);
    close_door(w);
    timer_start(w->drain_end, TICK_MS);
}

/* A worker that was never whole is taken down by the same path. */
static void dismantle(struct worker *w)
{
    struct server *s = &w->server;

    timer_free(w->tick);
    timer_free(w->ready);
    timer_free(w->drain_end);
    httpd_free(w->httpd);
    past_client_free(s->past_client);
    ledger_disconnect(&s->ledger);
    admission_free(s->admission);
    offline_free(s->offline);
    paid_calls_free(s->calls);
    ledger_close(&s->ledger);
    for (size_t i = 0; i < s->backend_count; i++)
        backend_free(s->backends[i].backend);
    free(s->backends);
    names_free(s->names);
    access_log_free(w->reporter.access);
    signal_watch_free(w->on_term);
    signal_watch_free(w->on_int);
    signal_watch_free(w->on_hup);
    signal_watch_free(w->on_usr1);
    loop_free(s->loop);
}
