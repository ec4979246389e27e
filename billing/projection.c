/* projection.c - one writer's way to Redis: cursors, replay, holds, reports, and then whatever becomes durable.
 *
 * Nothing is ever assumed of what was sent and not answered. A lost connection, a gap, a refusal or an answer that we did
 * not expect all end in the same place: after a rest the cursors are read again, and shipping goes on from there. */
#include "billing/projection.h"

#include <inttypes.h>

#include "billing/projection_cursors.h"
#include "billing/projection_report.h"
#include "billing/projection_ship.h"
#include "billing/projection_state.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define TICK_MS      1000
#define REPORT_TICKS 10
#define CHECK_TICKS  60
#define REST_TICKS   2

static void lanes_init(struct projection *p);
static void forget_requests(struct projection *p);
static void forget(struct projection *p);
static void begin(struct projection *p);
static void on_tick(void *arg);
static bool is_consistent(struct projection *p, struct err *err);
static bool has_applied(const struct projection *p, const struct record_heads *target,
                        bool with_parked);
static void replayed(struct projection *p);
static void run_waiters(void *arg);

struct projection *projection_new(struct loop *loop, struct redis *redis, struct journal *journal,
                                  const struct projection_config *config,
                                  const struct projection_handlers *handlers, void *arg)
{
    struct projection *p = xcalloc(1, sizeof *p);

    p->loop = loop;
    p->redis = redis;
    p->journal = journal;
    p->installation = xstrdup(config->installation);
    p->archive = xstrdup(config->archive);
    p->batch_records = config->batch_records;
    p->batches_max = config->batches_max;
    p->handlers = *handlers;
    p->arg = arg;
    p->effects = effects_new();
    p->tick = timer_new(loop, on_tick, p);
    p->rest = timer_new(loop, ship_rested, p);
    p->pump = (struct turn_end){.run = ship_pump, .arg = p};
    p->check_waiters = (struct turn_end){.run = run_waiters, .arg = p};
    p->spare = xcalloc(config->batches_max, sizeof *p->spare);
    lanes_init(p);
    return p;
}

static void lanes_init(struct projection *p)
{
    for (unsigned i = 0; i < LANES; i++)
        p->lanes[i].partition =
            (struct partition){(enum partition_side)(i / PARTITIONS), i % PARTITIONS};
}

void projection_free(struct projection *p)
{
    if (!p)
        return;
    forget(p);
    forget_requests(p);
    turn_end_cancel(&p->pump);
    turn_end_cancel(&p->check_waiters);
    timer_free(p->tick);
    timer_free(p->rest);
    effects_free(p->effects);
    while (p->waiters) {
        struct waiter *w = p->waiters;
        p->waiters = w->next;
        free(w);
    }
    for (size_t i = 0; i < p->spare_count; i++) {
        batch_clear(p->spare[i]);
        free(p->spare[i]);
    }
    free(p->spare);
    free(p->installation);
    free(p->archive);
    free(p);
}

static void forget_requests(struct projection *p)
{
    while (p->requests) {
        struct request *r = p->requests;
        p->requests = r->next;
        r->p = NULL;
        r->link = NULL;
    }
}

struct request *request_new(struct projection *p, struct lane *l)
{
    struct request *r = xcalloc(1, sizeof *r);

    r->p = p;
    r->generation = p->generation;
    r->lane = l;
    r->known = l->applied.n;
    r->next = p->requests;
    r->link = &p->requests;
    if (r->next)
        r->next->link = &r->next;
    p->requests = r;
    return r;
}

struct projection *request_end(struct request *r)
{
    struct projection *p = r->p;
    bool is_stale = !p || r->generation != p->generation;

    if (p) {
        *r->link = r->next;
        if (r->next)
            r->next->link = r->link;
    }
    free(r);
    return is_stale ? NULL : p;
}

void projection_redis_ready(struct projection *p)
{
    if (p->stage == STAGE_STOPPED)
        return;
    timer_start(p->tick, TICK_MS);
    begin(p);
}

void projection_redis_lost(struct projection *p)
{
    if (p->stage == STAGE_STOPPED)
        return;
    forget(p);
    p->stage = STAGE_AWAY;
    timer_stop(p->tick);
}

/* Whatever was asked until now will be answered to nobody. */
static void forget(struct projection *p)
{
    p->generation++;
    p->cursors = p->reports = (struct walk){0};
    p->is_replayed = p->holds_are_back = p->is_recovered = false;
    ship_end(p);
}

static void begin(struct projection *p)
{
    forget(p);
    p->stage = STAGE_READING;
    p->rest_ticks = 0;
    cursors_read(p);
}

void projection_restart(struct projection *p, const char *why)
{
    if (p->stage == STAGE_STOPPED)
        return;
    log_warn("projection_restarts", "%s: its cursors are read again: %s",
             journal_writer(p->journal), why);
    forget(p);
    p->stage = STAGE_AWAY;
    p->rest_ticks = REST_TICKS;
    p->counts.replays++;
}

void projection_stop(struct projection *p, const struct err *err)
{
    if (p->stage == STAGE_STOPPED)
        return;
    forget(p);
    p->stage = STAGE_STOPPED;
    timer_stop(p->tick);
    p->handlers.on_stopped(p->arg, err);
}

static void on_tick(void *arg)
{
    struct projection *p = arg;

    timer_start(p->tick, TICK_MS);
    p->ticks++;
    if (p->stage == STAGE_AWAY) {
        if (p->rest_ticks)
            p->rest_ticks--;
        else if (redis_is_ready(p->redis))
            begin(p);
    } else if (p->stage == STAGE_SHIPPING) {
        reports_send(p, p->ticks % REPORT_TICKS == 0);
        if (p->ticks % CHECK_TICKS == 0)
            cursors_check(p);
    }
}

void projection_cursors_read(struct projection *p)
{
    struct err err;

    if (!is_consistent(p, &err)) {
        projection_stop(p, &err);
        return;
    }
    p->target = *journal_heads(p->journal);
    if (!ship_begin(p, &err)) {
        projection_restart(p, err.text);
        return;
    }
    p->stage = STAGE_SHIPPING;
    reports_send(p, false);
    projection_progress(p);
    projection_wake(p);
}

/* Redis may lack records of ours, but it cannot have what we never wrote. */
static bool is_consistent(struct projection *p, struct err *err)
{
    char name[PARTITION_NAME];

    for (struct lane *l = p->lanes; l < p->lanes + LANES; l++) {
        struct record_cursor head = lane_cursor(l, journal_heads(p->journal));
        if (l->applied.n > head.n)
            return err_set(err, ERR_CORRUPT,
                           "Redis has record %" PRIu64
                           " of %s in partition %s, but its journal ends "
                           "at %" PRIu64 ": the journal lost records or is an old copy",
                           l->applied.n, journal_writer(p->journal),
                           partition_name(l->partition, name), head.n);
        if (head.n > 0 && l->applied.n == head.n && l->applied.crc != head.crc)
            return err_set(err, ERR_CORRUPT,
                           "record %" PRIu64
                           " of %s in partition %s is another one in Redis than in "
                           "its journal: one of them is not of this installation's history",
                           head.n, journal_writer(p->journal), partition_name(l->partition, name));
    }
    return true;
}

void projection_progress(struct projection *p)
{
    if (p->waiters)
        turn_end_schedule(p->loop, &p->check_waiters);
    if (!p->is_replayed && has_applied(p, &p->target, false))
        replayed(p);
}

/* A parked partition must not keep all others from admitting, but nothing is current while there is one. */
static bool has_applied(const struct projection *p, const struct record_heads *target,
                        bool with_parked)
{
    for (const struct lane *l = p->lanes; l < p->lanes + LANES; l++)
        if (l->applied.n < lane_cursor(l, target).n && (with_parked || !l->parked))
            return false;
    return true;
}

static void replayed(struct projection *p)
{
    p->is_replayed = true;
    if (p->handlers.on_put_holds)
        p->handlers.on_put_holds(p->arg);
    else
        projection_holds_are_back(p);
}

void projection_holds_are_back(struct projection *p)
{
    if (p->stage != STAGE_SHIPPING || !p->is_replayed)
        return;
    p->holds_are_back = true;
    reports_send(p, true);
}

void projection_all_reported(struct projection *p)
{
    if (p->is_recovered || !p->holds_are_back)
        return;
    for (const struct lane *l = p->lanes; l < p->lanes + LANES; l++)
        if (!l->admits && !l->parked)
            return;
    p->is_recovered = true;
    if (p->handlers.on_recovered)
        p->handlers.on_recovered(p->arg);
}

void projection_wake(struct projection *p)
{
    if (p->stage == STAGE_SHIPPING)
        turn_end_schedule(p->loop, &p->pump);
}

bool projection_is_recovered(const struct projection *p)
{
    return p->is_recovered;
}

bool projection_is_current(const struct projection *p)
{
    return p->stage == STAGE_SHIPPING && has_applied(p, journal_heads(p->journal), true);
}

void projection_when_current(struct projection *p, void (*on_current)(void *), void *arg)
{
    struct waiter *w = xcalloc(1, sizeof *w), **end = &p->waiters;

    w->target = *journal_heads(p->journal);
    w->on_current = on_current;
    w->arg = arg;
    while (*end)
        end = &(*end)->next;
    *end = w;
    turn_end_schedule(p->loop, &p->check_waiters);
}

/* Targets only grow along the list, so the first that is not reached ends the search. */
static void run_waiters(void *arg)
{
    struct projection *p = arg;

    while (p->waiters && p->stage == STAGE_SHIPPING && has_applied(p, &p->waiters->target, true)) {
        struct waiter w = *p->waiters;
        free(p->waiters);
        p->waiters = w.next;
        w.on_current(w.arg);
    }
}

struct projection_counts projection_counts(const struct projection *p)
{
    return p->counts;
}
