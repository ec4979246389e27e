/* journal_thread.c - group commit without a timer: a batch is what came while the last one was being synced, so an idle
 * journal answers at once and a busy one writes much with one sync. */
#include "billing/journal_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "billing/journal_space.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

struct journal_thread {
    /* The thread's own while it runs. */
    struct journal_log log;
    struct journal_batch *seals; /* who waits for the growing segment to be sealed */
    bool spare_refused;          /* not tried again before the next tick */
    bool is_short;               /* was reported */

    struct histogram *sync_times; /* borrowed, or null */
    int notify_fd;                /* borrowed, -1 while there is no thread */
    pthread_t id;
    pthread_mutex_t mutex; /* of everything below */
    pthread_cond_t wake;
    bool is_idle, ticked, wants_spare, stopping;
    bool gathers, holds_back; /* the queue waits for its flush */
    struct journal_batch *queue;
    struct journal_batch *done, *done_last, *recycled;
    struct journal_space space;
    uint64_t synced;
    int64_t records_at;
    bool holds_records, seal_asked;
};

static void *run(void *arg);
static struct journal_batch *take_queue(struct journal_thread *t, bool *ticked);
static bool has_work(const struct journal_thread *t);
static void work(struct journal_thread *t, struct journal_batch *b, bool ticked);
static void write_batch(struct journal_thread *t, struct journal_batch *b);
static void must(bool ok, const struct err *err);
static void keep_seal_requests(struct journal_thread *t, struct journal_batch *b);
static void publish(struct journal_thread *t, struct journal_batch *b);
static void publish_state(struct journal_thread *t);
static void copy_state(struct journal_thread *t);
static void append_done(struct journal_thread *t, struct journal_batch *b);
static void notify(struct journal_thread *t);
static void seal(struct journal_thread *t);
static bool claim_roll(struct journal_thread *t);
static void answer_seal_requests(struct journal_thread *t);
static void prepare_spares(struct journal_thread *t);
static void report_room(struct journal_thread *t, const struct err *err);
static void wake(struct journal_thread *t);
static struct journal_batch *fresh_batch(struct journal_thread *t);

struct journal_thread *journal_thread_new(struct journal_log *log, struct histogram *sync_times)
{
    struct journal_thread *t = xcalloc(1, sizeof *t);

    t->sync_times = sync_times;
    t->log = *log;
    *log = (struct journal_log){.out.fd = -1};
    t->notify_fd = -1;
    t->queue = journal_batch_new();
    t->seals = journal_batch_new();
    t->space.segment_bytes = t->log.out.segment_bytes;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->wake, NULL);
    publish_state(t);
    prepare_spares(t);
    return t;
}

bool journal_thread_start(struct journal_thread *t, int notify_fd, struct err *err)
{
    sigset_t all, before;
    int failed;

    t->notify_fd = notify_fd;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&t->id, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        return true;
    t->notify_fd = -1;
    errno = failed;
    return err_sys(err, "cannot start the journal's thread");
}

void journal_thread_free(struct journal_thread *t)
{
    if (!t)
        return;
    if (t->notify_fd >= 0) {
        pthread_mutex_lock(&t->mutex);
        t->stopping = true;
        wake(t);
        pthread_mutex_unlock(&t->mutex);
        pthread_join(t->id, NULL);
        t->notify_fd = -1;
    }
    journal_thread_work(t);
    t->log.seal_wanted = true;
    seal(t);
    journal_log_clear(&t->log);
    journal_batch_free(t->queue);
    journal_batch_free(t->seals);
    journal_batch_free(t->done);
    journal_batch_free(t->recycled);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

void journal_thread_work(struct journal_thread *t)
{
    struct journal_batch *b;
    bool ticked;

    if (t->notify_fd >= 0)
        return;
    pthread_mutex_lock(&t->mutex);
    b = take_queue(t, &ticked);
    pthread_mutex_unlock(&t->mutex);
    work(t, b, ticked);
}

static void *run(void *arg)
{
    struct journal_thread *t = arg;
    struct journal_batch *b;
    bool ticked, stopping;

    do {
        pthread_mutex_lock(&t->mutex);
        t->is_idle = true;
        while (!has_work(t))
            pthread_cond_wait(&t->wake, &t->mutex);
        t->is_idle = false;
        b = take_queue(t, &ticked);
        stopping = t->stopping;
        pthread_mutex_unlock(&t->mutex);
        work(t, b, ticked);
    } while (!stopping);
    return NULL;
}

static bool has_work(const struct journal_thread *t)
{
    return (t->queue->count > 0 && !t->holds_back) || t->ticked || t->wants_spare || t->stopping;
}

static struct journal_batch *take_queue(struct journal_thread *t, bool *ticked)
{
    struct journal_batch *b = t->queue;

    t->queue = fresh_batch(t);
    t->holds_back = t->gathers;
    *ticked = t->ticked;
    t->ticked = t->wants_spare = false;
    return b;
}

static struct journal_batch *fresh_batch(struct journal_thread *t)
{
    struct journal_batch *b = t->recycled;

    if (!b)
        return journal_batch_new();
    t->recycled = b->next;
    b->next = NULL;
    return b;
}

static void work(struct journal_thread *t, struct journal_batch *b, bool ticked)
{
    struct err err;

    if (b->count > 0)
        write_batch(t, b);
    else if (ticked)
        must(journal_log_state_synced(&t->log, &err), &err);
    keep_seal_requests(t, b);
    publish(t, b);
    if (t->log.seal_wanted || t->seals->count > 0)
        seal(t);
    if (ticked)
        t->spare_refused = false;
    prepare_spares(t);
}

static void write_batch(struct journal_thread *t, struct journal_batch *b)
{
    int64_t began = clock_monotonic();
    struct err err;

    must(journal_log_write(&t->log, b, &err), &err);
    if (b->wants_sync && t->sync_times)
        histogram_add(t->sync_times, clock_monotonic() - began);
}

/* Once a write or a sync has failed, nobody can say what a crash would leave of it. */
static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    log_error("journal_failed", "%s; this process ends, because what is durable is not known",
              err->text);
    _exit(JOURNAL_EXIT);
}

static void keep_seal_requests(struct journal_thread *t, struct journal_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].action != JOURNAL_SEAL || !b->items[i].on_durable)
            continue;
        journal_batch_ask(t->seals, JOURNAL_SEAL, 0);
        journal_batch_wait(t->seals, b->items[i].on_durable, b->items[i].arg);
        b->items[i].on_durable = NULL;
    }
}

/* One step under the mutex: whoever takes the batch also learns up to where all is durable. */
static void publish(struct journal_thread *t, struct journal_batch *b)
{
    pthread_mutex_lock(&t->mutex);
    t->space.pending -= b->cost;
    copy_state(t);
    append_done(t, b);
    pthread_mutex_unlock(&t->mutex);
}

static void publish_state(struct journal_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    copy_state(t);
    pthread_mutex_unlock(&t->mutex);
}

/* The mutex is held. */
static void copy_state(struct journal_thread *t)
{
    t->synced = t->log.synced;
    t->records_at = t->log.records_at;
    t->holds_records = t->log.holds_records;
    t->seal_asked &= t->log.seal_wanted;
    t->space.free_bytes = segment_writer_free_bytes(&t->log.out);
    t->space.spares = t->log.out.spares;
}

/* Batches that only hold what nobody waits for go straight back. The mutex is held. */
static void append_done(struct journal_thread *t, struct journal_batch *b)
{
    bool was_empty = !t->done;

    if (!b->wants_sync && !b->is_awaited) {
        journal_batch_clear(b);
        b->next = t->recycled;
        t->recycled = b;
        return;
    }
    if (was_empty)
        t->done = b;
    else
        t->done_last->next = b;
    t->done_last = b;
    if (was_empty)
        notify(t);
}

/* An eventfd or pipe that is full has told already. */
static void notify(struct journal_thread *t)
{
    uint64_t one = 1;

    if (t->notify_fd >= 0 && write(t->notify_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_error("journal_notify_failed", "cannot tell the loop: %s", strerror(errno));
}

/* When the room is short, the seal waits for a tick that finds more. */
static void seal(struct journal_thread *t)
{
    struct err err;

    if (t->log.seal_wanted && journal_log_has_work(&t->log)) {
        if (!claim_roll(t))
            return;
        must(journal_log_roll(&t->log, &err), &err);
    }
    t->log.seal_wanted = false;
    answer_seal_requests(t);
}

/* The loop may go on promising room meanwhile, so it learns first that this segment's rest is gone. */
static bool claim_roll(struct journal_thread *t)
{
    bool may;

    do {
        pthread_mutex_lock(&t->mutex);
        t->space.spares = t->log.out.spares;
        may = journal_space_may_roll(&t->space);
        if (may)
            t->space.free_bytes = 0;
        pthread_mutex_unlock(&t->mutex);
    } while (!may && segment_writer_add_spare(&t->log.out, NULL));
    return may;
}

static void answer_seal_requests(struct journal_thread *t)
{
    struct journal_batch *b = t->seals;

    pthread_mutex_lock(&t->mutex);
    copy_state(t);
    if (b->count > 0) {
        append_done(t, b);
        t->seals = fresh_batch(t);
    }
    pthread_mutex_unlock(&t->mutex);
}

static void prepare_spares(struct journal_thread *t)
{
    unsigned wanted;
    struct err err;

    pthread_mutex_lock(&t->mutex);
    wanted = journal_space_spares_wanted(&t->space);
    pthread_mutex_unlock(&t->mutex);
    while (t->log.out.spares < wanted && !t->spare_refused) {
        t->spare_refused = !segment_writer_add_spare(&t->log.out, &err);
        report_room(t, &err);
        publish_state(t);
    }
}

/* Once when it becomes short and once when it is there again. */
static void report_room(struct journal_thread *t, const struct err *err)
{
    if (t->spare_refused && !t->is_short)
        log_warn("journal_room_short", "new calls may be refused: %s", err->text);
    else if (!t->spare_refused && t->is_short)
        log_info("journal_room_back", "%s has room again", t->log.home->path);
    t->is_short = t->spare_refused;
}

bool journal_thread_reserve(struct journal_thread *t, struct err *err)
{
    bool fits;

    pthread_mutex_lock(&t->mutex);
    fits = journal_space_fits(&t->space, CALL_ROOM);
    if (fits)
        t->space.reserved++;
    if (!t->wants_spare && t->space.spares < journal_space_spares_wanted(&t->space)) {
        t->wants_spare = true;
        wake(t);
    }
    pthread_mutex_unlock(&t->mutex);
    return fits || err_set(err, ERR_FULL, "%s has no room for another call", t->log.home->path);
}

void journal_thread_unreserve(struct journal_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    t->space.reserved -= t->space.reserved > 0;
    pthread_mutex_unlock(&t->mutex);
}

bool journal_thread_add(struct journal_thread *t, const struct journal_entry *e)
{
    uint64_t cost = journal_space_cost(FRAME_HEAD + e->record.len);
    bool added, fits;

    pthread_mutex_lock(&t->mutex);
    fits = !e->optional || journal_space_fits(&t->space, cost);
    added = fits && journal_batch_add(t->queue, &e->effect, e->record);
    if (added) {
        journal_batch_wait(t->queue, e->on_durable, e->arg);
        t->space.pending += cost;
        t->space.reserved -= e->ends_call && t->space.reserved > 0;
        wake(t);
    }
    pthread_mutex_unlock(&t->mutex);
    must(added || e->optional, &(struct err){.text = "no memory for a record of the journal"});
    return added;
}

void journal_thread_gather(struct journal_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    t->gathers = t->holds_back = true;
    pthread_mutex_unlock(&t->mutex);
}

void journal_thread_flush(struct journal_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    t->holds_back = false;
    wake(t);
    pthread_mutex_unlock(&t->mutex);
}

void journal_thread_ask(struct journal_thread *t, enum journal_action action, int64_t at,
                        void (*on_durable)(void *arg), void *arg)
{
    pthread_mutex_lock(&t->mutex);
    journal_batch_ask(t->queue, action, at);
    journal_batch_wait(t->queue, on_durable, arg);
    t->holds_back = false;
    wake(t);
    pthread_mutex_unlock(&t->mutex);
}

/* The mutex is held. */
static void wake(struct journal_thread *t)
{
    if (t->is_idle && has_work(t))
        pthread_cond_signal(&t->wake);
}

void journal_thread_tick(struct journal_thread *t, int64_t now, int64_t age_ns)
{
    bool is_old;

    pthread_mutex_lock(&t->mutex);
    t->ticked = true;
    is_old = t->holds_records && now - t->records_at >= age_ns && !t->seal_asked;
    t->seal_asked |= is_old;
    wake(t);
    pthread_mutex_unlock(&t->mutex);
    if (is_old)
        journal_thread_ask(t, JOURNAL_SEAL, now, NULL, NULL);
}

struct journal_batch *journal_thread_take_done(struct journal_thread *t, uint64_t *synced)
{
    struct journal_batch *done;

    pthread_mutex_lock(&t->mutex);
    done = t->done;
    t->done = t->done_last = NULL;
    *synced = t->synced;
    pthread_mutex_unlock(&t->mutex);
    return done;
}

void journal_thread_recycle(struct journal_thread *t, struct journal_batch *done)
{
    struct journal_batch *next;

    pthread_mutex_lock(&t->mutex);
    for (; done; done = next) {
        next = done->next;
        journal_batch_clear(done);
        done->next = t->recycled;
        t->recycled = done;
    }
    pthread_mutex_unlock(&t->mutex);
}

int64_t journal_thread_unsealed_since(struct journal_thread *t)
{
    int64_t since;

    pthread_mutex_lock(&t->mutex);
    since = t->holds_records ? t->records_at : 0;
    pthread_mutex_unlock(&t->mutex);
    return since;
}
