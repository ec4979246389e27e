/* projection.h - ships one writer's durable records to Redis exactly once, and brings Redis back when it lost a suffix.
 *
 * For each partition the writer's records carry dense numbers, and the partition keeps per writer a cursor (n, CRC). A batch applies a record iff n == cursor + 1. On every new
 * connection, and once a minute, all cursors are read; shipping goes on from the lowest, out of the archive where the journal no longer holds it.
 * A cursor above the journal's head, or the same n with another CRC, stops shipping with an alarm (on_stopped). A partition is recovered for this writer
 * when everything durable at connection was applied and its holds were put again.
 * What Redis lacks and the archive has (by its heads when the cursors were read) is applied without entering the streams once it is older than recent_ms,
 * so Redis has room for what is recent, however much is replayed. */
#ifndef TOLLGATE_BILLING_PROJECTION_H
#define TOLLGATE_BILLING_PROJECTION_H

#include "billing/journal.h"
#include "lib/net/redis.h"

struct projection;

struct projection_config {
    const char *installation;
    const char *archive;
    size_t batch_records; /* per script call */
    size_t batches_max;   /* in flight */
    int64_t recent_ms;    /* what is replayed, archived and older enters no stream (trimmer.h) */
};

/* None of them may free the projection. */
struct projection_handlers {
    /* The writer must put its holds again, then call projection_holds_are_back(). Null: it has none. */
    void (*on_put_holds)(void *arg);
    void (*on_recovered)(
        void *
            arg); /* every partition admits under the present run_id as far as this writer is concerned */
    /* All that was durable when the cursors were read is applied, but for parked partitions, and every partition
     * was told so: who has nothing more to write may go. Null: nobody waits for it. */
    void (*on_reported)(void *arg);
    void (*on_stopped)(
        void *arg,
        const struct err *err); /* never ship again from this directory: an operator must look */
};

/* Borrows loop, redis and journal, which must outlive it. */
struct projection *projection_new(struct loop *loop, struct redis *redis, struct journal *journal,
                                  const struct projection_config *config,
                                  const struct projection_handlers *handlers, void *arg) MUST_USE;
/* The same for a writer without a journal: what the archive holds of it at this moment, which may be less than Redis has.
 * It tells partitions nothing, for nobody lives there; on_reported says that all is applied. */
struct projection *projection_new_archived(struct loop *loop, struct redis *redis,
                                           const char *writer,
                                           const struct projection_config *config,
                                           const struct projection_handlers *handlers,
                                           void *arg) MUST_USE;
void projection_free(struct projection *p);
DEFINE_AUTO(projection)
/* The owner of the redis passes its events on. */
void projection_redis_ready(struct projection *p);
void projection_redis_lost(struct projection *p);
/* New records are durable: ships them soon (within a turn or two; batches form by themselves). */
void projection_wake(struct projection *p);
void projection_holds_are_back(struct projection *p);
bool projection_is_recovered(const struct projection *p);
/* Some account's partition admits, as far as this writer knows: while Redis is filled anew none may, though all did. */
bool projection_admits(const struct projection *p);
/* Redis lost records, as somebody else knows: the cursors are read again at once. */
void projection_read_again(struct projection *p);
/* Tells every partition now that this writer lives, as it does by itself every 10 s. */
void projection_report(struct projection *p);
/* How many partitions take nothing until they are rebuilt. */
unsigned projection_parked(const struct projection *p);
/* How many durable records Redis has not applied, as far as it has answered. */
uint64_t projection_lag(const struct projection *p);
/* Everything durable now has been applied. */
bool projection_is_current(const struct projection *p);
/* Calls back once everything that is durable at this moment has been applied. */
void projection_when_current(struct projection *p, void (*on_current)(void *), void *arg);
/* Records applied, answered DUP, and put to suspense since start; for reports and metrics. */
struct projection_counts {
    uint64_t applied, duplicates, suspended, gaps, replays;
};
struct projection_counts projection_counts(const struct projection *p);

#endif
