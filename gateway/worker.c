/* worker.c - puts a worker process together, keeps its parts told of what happens, and takes it down without cutting a call. */
#include "gateway/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/api_routes.h"
#include "gateway/catalogue_load.h"
#include "gateway/changes.h"
#include "gateway/paid_call.h"
#include "gateway/server.h"
#include "gateway/service.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define TICK_MS           1000
#define CATALOGUE_TICKS   30 /* caches live 30 s at most */
#define JOURNAL_TICKS     5  /* between two attempts to open one */
#define KEYS_MAX          100000
#define REDIS_PENDING_MAX 100000
#define BATCH_RECORDS     50
#define BATCHES_MAX       32

struct worker {
    struct server server;
    struct service service;
    struct httpd *httpd;
    struct changes *changes;
    struct secret redis_password;
    struct redis_config redis_config;
    struct timer *tick;
    unsigned ticks;
    bool catalogue_is_loading, catalogue_is_stale;
    int journal_fd; /* eventfd */
    struct watch *journal_watch;
    struct signal_watch *on_term, *on_int, *on_usr1;
    int exit_code;
};

static bool build(struct worker *w, const struct worker_start *start, struct err *err);
static bool build_redis(struct worker *w, struct err *err);
static bool build_backends(struct server *s, struct err *err);
static void try_journal(struct worker *w);
static bool attach_journal(struct worker *w, struct journal *journal, struct err *err);
static void build_httpd(struct worker *w, const struct worker_start *start);
static void dismantle(struct worker *w);

static void on_tick(void *arg);
static void on_term(void *arg);
static void on_seal_asked(void *arg);

int worker_run(const struct worker_start *start)
{
    struct worker w = {.journal_fd = -1, .exit_code = 1};
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
    struct server *s = &w->server;

    s->options = start->options;
    s->installation = start->installation;
    if (!route_table_is_complete(api_routes, api_route_count, err) || !(s->loop = loop_new(err)))
        return false;
    w->on_term = signal_watch_new(s->loop, SIGTERM, on_term, w);
    w->on_int = signal_watch_new(s->loop, SIGINT, on_term, w);
    w->on_usr1 = signal_watch_new(s->loop, SIGUSR1, on_seal_asked, w);
    w->tick = timer_new(s->loop, on_tick, w);
    if (!build_redis(w, err) || !build_backends(s, err))
        return false;
    s->keyring = keyring_new(s->loop, s->redis, &s->installation->pepper, KEYS_MAX);
    w->journal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->journal_fd < 0)
        return err_sys(err, "an event descriptor can't be made");
    try_journal(w);
    build_httpd(w, start);
    timer_start(w->tick, TICK_MS);
    return true;
}

/* ------------------------------------------------------------------ Redis and what is read from it */

static void on_redis_ready(void *arg);
static void on_redis_lost(void *arg, const struct err *err);
static void on_change(void *arg, struct span kind, struct span id);
static void on_reset(void *arg);
static void load_catalogue(struct worker *w);

static bool build_redis(struct worker *w, struct err *err)
{
    static const struct redis_handlers handlers = {on_redis_ready, on_redis_lost};
    static const struct changes_handlers changes_handlers = {on_change, on_reset};
    const struct options *o = w->server.options;

    if (o->redis_password_file &&
        !secret_read_file(&w->redis_password, o->redis_password_file, err))
        return false;
    w->redis_config = (struct redis_config){
        .address = o->redis,
        .password = o->redis_password_file ? &w->redis_password : NULL,
        .user = o->redis_user,
        .connect_ms = o->redis_timeout,
        .command_ms = o->redis_timeout,
        .pending_max = REDIS_PENDING_MAX,
    };
    w->server.redis = redis_new(w->server.loop, &w->redis_config, &handlers, w, err);
    if (!w->server.redis)
        return false;
    w->changes = changes_new(w->server.loop, &w->redis_config, &changes_handlers, w, err);
    return w->changes != NULL;
}

static void on_redis_ready(void *arg)
{
    struct worker *w = arg;

    log_info("redis_ready", "%s", w->server.options->redis);
    if (w->server.projection)
        projection_redis_ready(w->server.projection);
    load_catalogue(w);
}

static void on_redis_lost(void *arg, const struct err *err)
{
    struct worker *w = arg;

    log_warn("redis_lost", "%s", err->text);
    if (w->server.projection)
        projection_redis_lost(w->server.projection);
}

static void on_change(void *arg, struct span kind, struct span id)
{
    struct worker *w = arg;
    char public_id[KEY_ID_PUBLIC];

    if (span_equal(kind, SPAN("catalogue")))
        load_catalogue(w);
    else if (span_equal(kind, SPAN("key")) && span_copy(id, public_id, sizeof public_id))
        keyring_forget(w->server.keyring, public_id);
}

static void on_reset(void *arg)
{
    struct worker *w = arg;

    keyring_forget_all(w->server.keyring);
    load_catalogue(w);
}

static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err);

/* One load at a time; what changes meanwhile makes one more. */
static void load_catalogue(struct worker *w)
{
    w->catalogue_is_stale = w->catalogue_is_loading;
    if (w->catalogue_is_loading)
        return;
    w->catalogue_is_loading = true;
    catalogue_load(w->server.redis, on_catalogue, w);
}

static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err)
{
    struct worker *w = arg;

    w->catalogue_is_loading = false;
    if (catalogue) {
        catalogue_free(w->server.catalogue);
        w->server.catalogue = catalogue;
    } else {
        log_debug("catalogue_not_read", "%s", err->text);
    }
    if (w->catalogue_is_stale)
        load_catalogue(w);
}

/* ------------------------------------------------------------------ backends */

static bool build_backends(struct server *s, struct err *err)
{
    const struct options *o = s->options;

    s->backends = xcalloc(o->backend_count + 1, sizeof *s->backends);
    for (size_t i = 0; i < o->backend_count; i++) {
        const struct backend_options *b = &o->backends[i];
        AUTO_CLEAR(secret) key = {0};
        struct backend_config config = {
            .kind = b->kind,
            .url = b->url,
            .key = b->key_file ? &key : NULL,
            .ca_file = b->ca_file,
            .connect_ms = b->connect_timeout,
            .first_byte_ms = b->first_byte_timeout,
            .between_bytes_ms = b->idle_timeout,
            .reply_bytes_max = o->reply_bytes,
            .event_bytes_max = o->event_bytes,
            .idle_max = b->keepalive_connections,
            .idle_ms = b->keepalive_idle,
            .delay_ms = b->delay,
        };

        if (b->key_file && !secret_read_file(&key, b->key_file, err))
            return err_context(err, "backend %s", b->title);
        s->backends[i].name = b->title;
        s->backends[i].backend = backend_open(s->loop, &config, err);
        if (!s->backends[i].backend)
            return err_context(err, "backend %s", b->title);
        s->backend_count++;
    }
    return true;
}

/* ------------------------------------------------------------------ the journal and what ships it */

static void on_journal_news(void *arg);
static void on_put_holds(void *arg);
static void on_recovered(void *arg);
static void on_stopped(void *arg, const struct err *err);

/* A worker without a journal stays up and refuses calls in one sentence, and tries again. */
static void try_journal(struct worker *w)
{
    const struct options *o = w->server.options;
    struct journal_config config = {.root = o->journal,
                                    .archive = o->archive,
                                    .installation = w->server.installation->id,
                                    .segment_bytes = o->journal_segment,
                                    .segment_age_ms = 3600 * 1000};
    AUTO_CLEAR(buf) damaged = {.max = 4096};
    struct err err;
    AUTO(journal) journal = journal_open(&config, &damaged, &err);

    if (damaged.len)
        log_error("journal_damaged", "%s", damaged.data);
    if (!journal || !journal_start(journal, w->journal_fd, &err) ||
        !attach_journal(w, journal, &err))
        log_error("journal_unavailable", "calls are refused until it can be opened: %s", err.text);
    else
        (void)KEEP(journal);
}

static bool attach_journal(struct worker *w, struct journal *journal, struct err *err)
{
    static const struct projection_handlers handlers = {on_put_holds, on_recovered, on_stopped};
    struct server *s = &w->server;
    const char *installation = s->installation->id;
    struct projection_config projection = {installation, s->options->archive, BATCH_RECORDS,
                                           BATCHES_MAX};
    struct admission_config admission = {installation, journal_writer(journal),
                                         s->options->recovering_wait};

    w->journal_watch = watch_new(s->loop, w->journal_fd, on_journal_news, NULL, w);
    if (!w->journal_watch)
        return err_set(err, ERR_IO, "the journal's descriptor can't be watched");
    watch_want(w->journal_watch, true, false);
    s->journal = journal;
    s->projection = projection_new(s->loop, s->redis, journal, &projection, &handlers, w);
    s->admission = admission_new(s->loop, s->redis, &admission);
    s->calls = paid_calls_new(s);
    if (redis_is_ready(s->redis))
        projection_redis_ready(s->projection);
    return true;
}

static void on_journal_news(void *arg)
{
    struct worker *w = arg;
    uint64_t count;

    if (read(w->journal_fd, &count, sizeof count) == (ssize_t)sizeof count) {
        journal_completed(w->server.journal);
        projection_wake(w->server.projection);
    }
}

static void on_holds_are_back(void *arg)
{
    struct worker *w = arg;

    projection_holds_are_back(w->server.projection);
}

static void on_put_holds(void *arg)
{
    struct worker *w = arg;

    admission_put_again(w->server.admission, on_holds_are_back, w);
}

static void on_recovered(void *arg)
{
    struct worker *w = arg;

    log_info("recovered", "writer %s: Redis has everything this journal holds",
             journal_writer(w->server.journal));
}

static void on_stopped(void *arg, const struct err *err)
{
    (void)arg;
    log_error("shipping_stopped", "an operator must look: %s", err->text);
}

/* ------------------------------------------------------------------ clients */

static void build_httpd(struct worker *w, const struct worker_start *start)
{
    const struct options *o = w->server.options;
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

    w->service = (struct service){
        .routes = api_routes,
        .route_count = api_route_count,
        .server = &w->server,
        .keyring = w->server.keyring,
        .installation = w->server.installation,
        .body_bytes_max = (size_t)o->body_bytes,
    };
    w->httpd = httpd_new(w->server.loop, start->listen_fd, start->tls, &limits, &service_handler,
                         &w->service);
}

/* ------------------------------------------------------------------ once a second, and signals */

static void on_tick(void *arg)
{
    struct worker *w = arg;

    timer_start(w->tick, TICK_MS);
    w->ticks++;
    if (w->server.journal) {
        paid_calls_progress(w->server.calls);
        journal_tick(w->server.journal);
    } else if (w->ticks % JOURNAL_TICKS == 0) {
        try_journal(w);
    }
    if (w->ticks % CATALOGUE_TICKS == 0 && redis_is_ready(w->server.redis))
        load_catalogue(w);
}

static void on_seal_asked(void *arg)
{
    struct worker *w = arg;

    if (w->server.journal)
        journal_seal(w->server.journal, NULL, NULL);
}

static void on_drained(void *arg);

static void on_term(void *arg)
{
    struct worker *w = arg;

    if (w->server.draining)
        return;
    w->server.draining = true;
    log_info("worker_draining", "%zu connections are open", httpd_connection_count(w->httpd));
    httpd_drain(w->httpd, on_drained, w);
}

static void on_drained(void *arg)
{
    struct worker *w = arg;

    w->exit_code = 0;
    loop_stop(w->server.loop);
}

/* A worker that was never whole is taken down by the same path; Redis goes first, since its callbacks end what waits for it. */
static void dismantle(struct worker *w)
{
    struct server *s = &w->server;

    timer_free(w->tick);
    httpd_free(w->httpd);
    changes_free(w->changes);
    projection_free(s->projection);
    admission_free(s->admission);
    redis_free(s->redis);
    paid_calls_free(s->calls);
    watch_free(w->journal_watch);
    journal_free(s->journal);
    keyring_free(s->keyring);
    for (size_t i = 0; i < s->backend_count; i++)
        backend_free(s->backends[i].backend);
    free(s->backends);
    catalogue_free(s->catalogue);
    signal_watch_free(w->on_term);
    signal_watch_free(w->on_int);
    signal_watch_free(w->on_usr1);
    secret_clear(&w->redis_password);
    if (w->journal_fd >= 0)
        close(w->journal_fd);
    loop_free(s->loop);
}
