/* flow_writer.c - a worker without clients: real calls through journal and projection as fast as both take them.
 *
 *   flow_writer JOURNAL ARCHIVE INSTALLATION REDIS EVENTS ACCOUNTS SEGMENT_BYTES
 *
 * Each call has its BEGIN and its END, which is synced, and is shipped to both partitions. Accounts are flow-0 …, models
 * flow/m0 … m15, all under price and contract flow@2026-01-01T00:00:00.000Z: 2.00 and 8.00 per million tokens. Ends once
 * everything is applied; prints {"events","nanos","writer"}. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "billing/projection.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define UNDURABLE_MAX 4096  /* calls on their way to the disk */
#define UNAPPLIED_MAX 20000 /* and to Redis */
#define BURST         256   /* calls a turn */
#define MODELS        16
#define FLOW_VERSION  "flow@2026-01-01T00:00:00.000Z"
#define TICK_MS       1000
#define RECENT_MS     10000
#define NANOS_IN      2000 /* a token */
#define NANOS_OUT     8000

struct flow {
    struct loop *loop;
    struct redis *redis;
    struct journal *journal;
    struct projection *projection;
    struct timer *pump, *tick;
    struct watch *watch;
    int fd;
    uint64_t events, accounts, made, durable;
    int128 nanos;
    bool is_over;
};

static void on_ready(void *arg)
{
    struct flow *f = arg;

    projection_redis_ready(f->projection);
}

static void on_lost(void *arg, const struct err *err)
{
    struct flow *f = arg;

    (void)err;
    if (f->projection)
        projection_redis_lost(f->projection);
}

static void on_recovered(void *arg)
{
    (void)arg;
}

static void on_stopped(void *arg, const struct err *err)
{
    (void)arg;
    log_error("flow_stopped", "%s", err->text);
    exit(1);
}

static void on_news(void *arg)
{
    struct flow *f = arg;
    uint64_t told;

    if (read(f->fd, &told, sizeof told) != (ssize_t)sizeof told)
        return;
    journal_completed(f->journal);
    projection_wake(f->projection);
    timer_start(f->pump, 0);
}

static void on_durable(void *arg)
{
    ((struct flow *)arg)->durable++;
}

static struct event event_of(struct flow *f, uint64_t i)
{
    struct event e = {.owner_count = 1, .share_bp = 7000, .outcome = OUTCOME_COMPLETE};
    int64_t in = 100 + (int64_t)(i % 900), out = 50 + (int64_t)(i * 7 % 450);

    request_id_make(e.request_id);
    snprintf(e.account, sizeof e.account, "flow-%" PRIu64, i * 2654435761 % f->accounts);
    snprintf(e.key, sizeof e.key, "%02uabcdefghij", (unsigned)(i % 64));
    snprintf(e.owners[0].id, sizeof e.owners[0].id, "flow");
    e.owners[0].weight = 1;
    snprintf(e.model, sizeof e.model, "flow/m%u", (unsigned)(i % MODELS));
    snprintf(e.backend, sizeof e.backend, "echo");
    snprintf(e.price, sizeof e.price, FLOW_VERSION);
    snprintf(e.contract, sizeof e.contract, FLOW_VERSION);
    if (!used_set(&e.used, unit_find(SPAN("input_tokens")), in, FROM_UPSTREAM, NULL) ||
        !used_set(&e.used, unit_find(SPAN("output_tokens")), out, FROM_UPSTREAM, NULL))
        abort();
    snprintf(e.amount.currency, sizeof e.amount.currency, "CNY");
    e.amount.nanos = in * NANOS_IN + out * NANOS_OUT;
    e.started_at = e.ended_at = journal_now(f->journal);
    e.period = e.orig_period = period_of(e.ended_at);
    return e;
}

static bool may_make(const struct flow *f)
{
    uint64_t applied = projection_counts(f->projection).applied / SIDES;

    return f->made < f->events && f->made - f->durable < UNDURABLE_MAX &&
           f->made - applied < UNAPPLIED_MAX;
}

static void pump(void *arg)
{
    struct flow *f = arg;
    struct err err;

    for (int i = 0; i < BURST && may_make(f); i++) {
        struct event e, begun;

        if (!journal_reserve(f->journal, &err)) {
            timer_start(f->pump, TICK_MS);
            return;
        }
        e = event_of(f, f->made);
        begun = e;
        begun.used.count = 0;
        begun.amount.nanos = 0;
        begun.outcome = OUTCOME_VOID;
        journal_begin(f->journal, &begun, NULL, NULL);
        journal_call(f->journal, &e, on_durable, f);
        f->nanos += e.amount.nanos;
        f->made++;
    }
    journal_flush(f->journal);
    f->is_over =
        f->made == f->events && f->durable == f->events && projection_is_current(f->projection);
    timer_start(f->pump, 1);
}

static void tick(void *arg)
{
    struct flow *f = arg;

    journal_tick(f->journal);
    timer_start(f->tick, TICK_MS);
}

static void on_queued(void *arg)
{
    (void)arg; /* pump() flushes */
}

static bool open_all(struct flow *f, char **argv, struct err *err)
{
    static const struct redis_handlers redis_handlers = {on_ready, on_lost};
    static const struct projection_handlers handlers = {.on_recovered = on_recovered,
                                                        .on_stopped = on_stopped};
    const struct redis_config redis = {
        .address = argv[4], .connect_ms = 5000, .command_ms = 60000, .pending_max = 100000};
    struct journal_config journal = {
        .root = argv[1], .archive = argv[2], .installation = argv[3], .segment_age_ms = 3600000};
    const struct projection_config projection = {argv[3], argv[2], 50, 32, RECENT_MS};
    uint64_t segment_bytes;

    if (!digits_parse(span_of(argv[5]), INT64_MAX, &f->events) ||
        !digits_parse(span_of(argv[6]), INT64_MAX, &f->accounts) || f->accounts == 0 ||
        !digits_parse(span_of(argv[7]), INT64_MAX, &segment_bytes))
        return err_set(err, ERR_INPUT, "EVENTS, ACCOUNTS and SEGMENT_BYTES are numbers");
    journal.segment_bytes = (int64_t)segment_bytes;
    f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!(f->loop = loop_new(err)) ||
        !(f->redis = redis_new(f->loop, &redis, &redis_handlers, f, err)) ||
        !(f->journal = journal_open(&journal, NULL, err)) || !journal_start(f->journal, f->fd, err))
        return false;
    f->projection = projection_new(f->loop, f->redis, f->journal, &projection, &handlers, f);
    journal_gather(f->journal, on_queued, f);
    f->watch = watch_new(f->loop, f->fd, on_news, NULL, f);
    watch_want(f->watch, true, false);
    f->pump = timer_new(f->loop, pump, f);
    f->tick = timer_new(f->loop, tick, f);
    timer_start(f->pump, 0);
    timer_start(f->tick, TICK_MS);
    return true;
}

static void close_all(struct flow *f)
{
    timer_free(f->pump);
    timer_free(f->tick);
    projection_free(f->projection);
    f->projection = NULL;
    redis_free(f->redis);
    watch_free(f->watch);
    journal_free(f->journal);
    loop_free(f->loop);
}

int main(int argc, char **argv)
{
    struct flow f = {.fd = -1};
    char text[DECIMAL_TEXT];
    struct err err;

    if (argc != 8) {
        fprintf(stderr, "flow_writer JOURNAL ARCHIVE INSTALLATION REDIS EVENTS ACCOUNTS "
                        "SEGMENT_BYTES\n");
        return 2;
    }
    log_set_process("flow");
    if (!clock_set_zone("Asia/Shanghai", &err) || !open_all(&f, argv, &err)) {
        fprintf(stderr, "flow_writer: %s\n", err.text);
        return 1;
    }
    while (!loop_run_until(f.loop, &f.is_over, 3600000))
        ;
    printf("{\"writer\":\"%s\",\"events\":%" PRIu64 ",\"amount\":\"%s\"}\n",
           journal_writer(f.journal), f.durable, decimal_format(f.nanos, text));
    close_all(&f);
    return 0;
}
