/* journal_thread.h - the queue between the loop and the disk, and the thread that empties it: it writes whatever queued up while
 * it was writing before. Until it is started, journal_thread_work() does the same on the caller's thread.
 *
 * Everything here is called by the loop's thread. A failure of what must not be lost is logged and ends the process. */
#ifndef TOLLGATE_BILLING_JOURNAL_THREAD_H
#define TOLLGATE_BILLING_JOURNAL_THREAD_H

#include "billing/journal_log.h"
#include "lib/base/metric.h"

#define JOURNAL_EXIT 74 /* the exit status of a process that its journal ended */

struct journal_thread;

/* Takes over what `log` holds, which the caller then leaves alone. `sync_times` (may be null) outlives it. */
struct journal_thread *journal_thread_new(struct journal_log *log,
                                          struct histogram *sync_times) MUST_USE;
bool journal_thread_start(struct journal_thread *t, int notify_fd, struct err *err) MUST_USE;
/* Writes what is queued and ends the thread; seals what there is to seal. */
void journal_thread_free(struct journal_thread *t);
DEFINE_AUTO(journal_thread)
void journal_thread_work(struct journal_thread *t);

/* Room for one more call; ERR_FULL when there is none. */
bool journal_thread_reserve(struct journal_thread *t, struct err *err) MUST_USE;
void journal_thread_unreserve(struct journal_thread *t);

struct journal_entry {
    struct record_effect effect;
    struct span record;
    bool optional;     /* refused when it would take room that is promised */
    bool ends_call;    /* gives a reservation back */
    void (*on_durable)(void *arg); /* of what is not synced, when it is written */
    void *arg;
};
/* False, and nothing was queued, only when it is optional and there is no room. */
bool journal_thread_add(struct journal_thread *t, const struct journal_entry *e) MUST_USE;
/* From now on what is added waits for journal_thread_flush(), or until there is something else to do. */
void journal_thread_gather(struct journal_thread *t);
void journal_thread_flush(struct journal_thread *t);
void journal_thread_ask(struct journal_thread *t, enum journal_action action, int64_t at,
                        void (*on_durable)(void *arg), void *arg);
/* Once a second: what is durable is stated, spares are tried again, a segment whose first record is older than `age_ns` is sealed. */
void journal_thread_tick(struct journal_thread *t, int64_t now, int64_t age_ns);
/* When the first record of the open segment was written; 0: it has none. */
int64_t journal_thread_unsealed_since(struct journal_thread *t);

/* What became durable since the last time, and up to where: hand the list back when done with it. Null: nothing. */
struct journal_batch *journal_thread_take_done(struct journal_thread *t, uint64_t *synced);
void journal_thread_recycle(struct journal_thread *t, struct journal_batch *done);

#endif
