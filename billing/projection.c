/* projection.c - one writer's way to Redis: cursors, replay, holds, reports, and then whatever becomes durable.
 *
 * Nothing is ever assumed of what was sent and not answered. A lost connection, a gap, a refusal or an answer that we did
 * not expect all end in the same place: after a rest the cursors are read again, and shipping goes on from there. */
#include "billing/projection.h"

#include <inttypes.h>
#include <stdio.h>

#include "billing/archive.h"
#include "billing/projection_cursors.h"
#include "billing/projection_report.h"
#include "billing/projection_ship.h"
#include "billing/projection_state.h"
#include "billing/retirement.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define TICK_MS      1000
#define REPORT_TICKS 10
#define CHECK_TICKS  60
#define REST_TICKS   2
#define SLEPT_MS     10000 /* a third of the silence after which a writer may be retired */

static struct projection *make(struct loop *loop, struct redis *redis,
                               const struct projection_config *config,
                               const struct projection_handlers *handlers, void *arg);
static void lanes_init(struct projection *p);
static void forget_requests(struct projection *p);
static void forget(struct projection *p);
static bool has_changed(const struct projection *p);
static bool is_cut_off(const struct projection *p);
static void begin(struct projection *p);
static bool find_servers(struct projection *p, bool is_recovered);
static bool stays_recovered(const struct projection *p);
static void on_tick(void *arg);
static bool all_are_away(const struct projection *p);
static bool may_write(const struct projection *p, struct err *err);
static bool set_retired(const struct projection *p, struct err *err);
static bool has_records(const struct record_heads *heads);
static bool is_consistent(struct projection *p, struct err *err);
static bool has_applied(const struct projection *p, const struct record_heads *target,
                        bool with_all);
static void replayed(struct projection *p);
static bool has_told_all(const struct projection *p);
static void run_waiters(void *arg);

struct projection *projection_new(struct loop *loop, struct redis *redis, struct journal *journal,
                                  const struct projection_config *config,
                                  const struct projection_handlers *handlers, void *arg)
{
    struct projection *p = make(loop, redis, config, handlers, arg);

    p->journal = journal;
    memcpy(p->writer, journal_writer(journal), sizeof p->writer);
    return p;
}

struct projection *projection_new_archived(struct loop *loop, struct redis *redis,
                                           const char *writer,
                                           const struct projection_config *config,
                                           const struct projection_handlers *handlers, void *arg)
{
    struct projection *p = make(loop, redis, config, handlers, arg);

    snprintf(p->writer, sizeof p->writer, "%s", writer);
    return p;
}

static struct projection *make(struct loop *loop, struct redis *redis,
                               const struct projection_config *config,
                               const struct projection_handlers *handlers, void *arg)
{
    struct projection *p = xcalloc(1, sizeof *p);

    p->loop = loop;
    p->redis = redis;
    p->installation = xstrdup(config->installation);
    p->archive = xstrdup(config->archive);
    p->batch_records = config->batch_records;
    p->batches_max = config->batches_max;
    p->recent_ms = config->recent_ms;
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
    for (unsigned i = 0; i < PARTITIONS_ALL; i++)
        p->lanes[i].partition = partition_at(i);
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
    if (p->stage == STAGE_AWAY || has_changed(p))
        begin(p);
}

/* A partition can be reached that could not, or is at another server, or at one that restarted. */
static bool has_changed(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++) {
        uint64_t term = partition_term(p->redis, l->partition);

        if (term && (l->is_away || l->term != term))
            return true;
    }
    return false;
}

void projection_redis_lost(struct projection *p)
{
    if (p->stage == STAGE_STOPPED)
        return;
    if (p->stage != STAGE_AWAY && !is_cut_off(p)) {
        for (struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
            if (l->term != partition_term(p->redis, l->partition))
                projection_leave(p, l, "its server is away");
        return;
    }
    forget(p);
    p->stage = STAGE_AWAY;
    timer_stop(p->tick);
}

/* No partition is where it was. */
static bool is_cut_off(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (l->term && l->term == partition_term(p->redis, l->partition))
            return false;
    return true;
}

/* Whatever was asked until now will be answered to nobody. */
static void forget(struct projection *p)
{
    p->generation++;
    p->cursors = p->reports = (struct walk){0};
    p->is_replayed = p->holds_are_back = p->has_reported = p->is_recovered = false;
    p->archived = (struct record_heads){0};
    p->archive_is_read = false;
    ship_end(p);
}

static void begin(struct projection *p)
{
    bool is_recovered = stays_recovered(p);

    forget(p);
    p->is_recovered = is_recovered;
    p->has_history = p->has_history || p->has_admitted || has_records(projection_heads(p)) ||
                     archive_has_history(p->archive);
    rand_text(p->token, TOKEN_TEXT - 1);
    p->rest_ticks = 0;
    p->ticked_ms = clock_monotonic_ms();
    p->stage = find_servers(p, is_recovered) ? STAGE_READING : STAGE_AWAY;
    if (p->stage == STAGE_READING)
        cursors_read(p);
}

/* False: none is there. */
static bool find_servers(struct projection *p, bool is_recovered)
{
    bool found = false;

    for (struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++) {
        uint64_t term = partition_term(p->redis, l->partition);

        l->admits = l->admits && is_recovered && l->term == term;
        l->term = term;
        l->is_away = term == 0;
        found = found || !l->is_away;
    }
    return found;
}

/* As long as some partitions admit as before, while others move. */
static bool stays_recovered(const struct projection *p)
{
    for (const struct lane *l = p->lanes; p->is_recovered && l < p->lanes + PARTITIONS_ALL; l++)
        if (l->admits && l->term == partition_term(p->redis, l->partition))
            return true;
    return false;
}

void projection_leave(struct projection *p, struct lane *l, const char *why)
{
    char name[PARTITION_NAME];

    if (l->is_away)
        return;
    if (partition_is_ready(p->redis, l->partition))
        log_warn("partition_left", "partition %s is left alone for a moment: %s",
                 partition_name(l->partition, name), why);
    l->is_away = true;
    l->admits = false;
    p->rest_ticks = REST_TICKS;
    ship_leave(p, l);
    if (p->stage == STAGE_SHIPPING)
        projection_progress(p);
}

void projection_restart(struct projection *p, const char *why)
{
    if (p->stage == STAGE_STOPPED)
        return;
    log_warn("projection_restarts", "%s: its cursors are read again: %s", p->writer, why);
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

void projection_stop_retired(struct projection *p)
{
    struct err err;

    set_retired(p, &err);
    projection_stop(p, &err);
}

bool projection_has_slept(const struct projection *p)
{
    return clock_monotonic_ms() - p->ticked_ms > SLEPT_MS;
}

static void on_tick(void *arg)
{
    struct projection *p = arg;
    bool has_slept = projection_has_slept(p);
    struct err err;

    timer_start(p->tick, TICK_MS);
    p->ticks++;
    p->ticked_ms = clock_monotonic_ms();
    if (has_slept && !may_write(p, &err)) {
        projection_stop(p, &err);
        return;
    }
    if (has_slept)
        projection_wake(p);
    if (p->stage == STAGE_AWAY) {
        if (p->rest_ticks)
            p->rest_ticks--;
        else if (redis_is_partly_ready(p->redis))
            begin(p);
    } else if (p->stage == STAGE_SHIPPING && p->rest_ticks) {
        p->rest_ticks--;
    } else if (p->stage == STAGE_SHIPPING && has_changed(p)) {
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

    if (all_are_away(p)) {
        projection_restart(p, "no cursor could be read");
        return;
    }
    if (!may_write(p, &err)) {
        projection_stop(p, &err);
        return;
    }
    if (p->journal && !is_consistent(p, &err)) {
        projection_stop(p, &err);
        return;
    }
    p->target = *projection_heads(p);
    if (!ship_begin(p, &err)) {
        projection_restart(p, err.text);
        return;
    }
    p->stage = STAGE_SHIPPING;
    reports_send(p, false);
    projection_progress(p);
    projection_wake(p);
}

static bool all_are_away(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->is_away)
            return false;
    return true;
}

/* Who is retired was silent for a while: it learns of it when it comes back, before anything of it is shipped. Should it
 * not see the archive as it is, or not know how long it slept, each partition tells it. */
static bool may_write(const struct projection *p, struct err *err)
{
    return !p->journal || !retirement_is_final(p->archive, p->writer) || set_retired(p, err);
}

static bool set_retired(const struct projection *p, struct err *err)
{
    return err_set(err, ERR_DENIED,
                   "writer %s was retired and may never write again; `tollgate journal adopt` "
                   "books what its directory %s still has",
                   p->writer, p->journal ? journal_dir(p->journal) : "");
}

static bool has_records(const struct record_heads *heads)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (heads->at[side][i].n > 0)
                return true;
    return false;
}

/* Redis may lack records of ours, but it cannot have what we never wrote. */
static bool is_consistent(struct projection *p, struct err *err)
{
    char name[PARTITION_NAME];

    for (struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++) {
        struct record_cursor head = lane_cursor(l, projection_heads(p));
        if (l->is_away)
            continue;
        if (l->applied.n > head.n)
            return err_set(err, ERR_CORRUPT,
                           "Redis has record %" PRIu64
                           " of %s in partition %s, but its journal ends "
                           "at %" PRIu64 ": the journal lost records or is an old copy",
                           l->applied.n, p->writer, partition_name(l->partition, name), head.n);
        if (head.n > 0 && l->applied.n == head.n && l->applied.crc != head.crc)
            return err_set(err, ERR_CORRUPT,
                           "record %" PRIu64
                           " of %s in partition %s is another one in Redis than in "
                           "its journal: one of them is not of this installation's history",
                           head.n, p->writer, partition_name(l->partition, name));
    }
    return true;
}

void projection_progress(struct projection *p)
{
    if (p->waiters)
        turn_end_schedule(p->loop, &p->check_waiters);
    if (!p->is_replayed && (p->journal || p->archive_is_read) && has_applied(p, &p->target, false))
        replayed(p);
}

void projection_archive_was_read(struct projection *p)
{
    p->archive_is_read = true;
    p->target = p->archived;
    projection_progress(p);
}

/* A partition that is parked or away must not keep all others from admitting, but nothing is current while there is
 * one. */
static bool has_applied(const struct projection *p, const struct record_heads *target,
                        bool with_all)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (l->applied.n < lane_cursor(l, target).n && (with_all || (!l->parked && !l->is_away)))
            return false;
    return true;
}

static void replayed(struct projection *p)
{
    p->is_replayed = true;
    if (!p->journal)
        p->handlers.on_reported(p->arg);
    else if (p->handlers.on_put_holds)
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
    uint64_t generation = p->generation;

    if (!p->holds_are_back || all_are_away(p))
        return;
    if (!p->has_reported && has_told_all(p)) {
        p->has_reported = true;
        if (p->handlers.on_reported)
            p->handlers.on_reported(p->arg);
    }
    if (p->is_recovered || p->generation != generation)
        return;
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if (!l->admits && !l->parked && !l->is_away)
            return;
    p->is_recovered = p->has_admitted = true;
    if (p->handlers.on_recovered)
        p->handlers.on_recovered(p->arg);
}

static bool has_told_all(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        if ((l->is_due || l->is_away) && !l->parked)
            return false;
    return true;
}

void projection_wake(struct projection *p)
{
    if (p->stage == STAGE_SHIPPING)
        turn_end_schedule(p->loop, &p->pump);
}

void projection_read_again(struct projection *p)
{
    if (p->stage == STAGE_READING || p->stage == STAGE_SHIPPING)
        begin(p);
}

void projection_report(struct projection *p)
{
    if (p->stage == STAGE_SHIPPING)
        reports_send(p, true);
}

unsigned projection_parked(const struct projection *p)
{
    unsigned count = 0;

    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++)
        count += l->parked;
    return count;
}

bool projection_is_recovered(const struct projection *p)
{
    return p->is_recovered;
}

uint64_t projection_lag(const struct projection *p)
{
    uint64_t lag = 0;

    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS_ALL; l++) {
        uint64_t head = lane_cursor(l, projection_heads(p)).n;

        lag += head > l->applied.n ? head - l->applied.n : 0;
    }
    return lag;
}

bool projection_admits(const struct projection *p)
{
    for (const struct lane *l = p->lanes; l < p->lanes + PARTITIONS; l++)
        if (l->admits)
            return true;
    return false;
}

bool projection_is_current(const struct projection *p)
{
    return p->stage == STAGE_SHIPPING && has_applied(p, projection_heads(p), true);
}

void projection_when_current(struct projection *p, void (*on_current)(void *), void *arg)
{
    struct waiter *w = xcalloc(1, sizeof *w), **end = &p->waiters;

    w->target = *projection_heads(p);
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
