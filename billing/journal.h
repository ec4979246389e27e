/* journal.h - the writer's own truth: an append-only log on local disk, group-committed by one thread.
 *
 * A directory journal/0001 belongs to one writer id for ever and to one process at a time (its lock). The loop thread numbers and queues records; the journal's thread
 * writes whatever queued up in one write and, if any record wants it, one fdatasync; then the loop is told. Only synced records ship.
 * A failed write or fdatasync of what must not be lost ends the process: after it nothing is known.
 *
 * Layout of `root`: 0001/, 0002/ …, each with `writer` (JSON: format, writer, installation, created_at), `lock`, and segments. */
#ifndef TOLLGATE_BILLING_JOURNAL_H
#define TOLLGATE_BILLING_JOURNAL_H

#include "billing/record.h"
#include "billing/funds.h"
#include "billing/segment.h"
#include "lib/base/file.h"
#include "lib/base/metric.h"

struct journal;

struct journal_config {
    const char *root;          /* …/journal */
    const char *archive;       /* …/archive: the writer is registered there (archive/writers/<writer>.json) before its first call */
    const char *installation;
    int64_t segment_bytes;     /* 16 MiB: sealed when full, after an hour when it has numbered records, at a period's end, when asked */
    int64_t segment_age_ms;
    struct histogram *sync_times; /* of its thread's writes with fdatasync; null: they are not taken */
};

/* Takes the lowest directory whose lock is free, or makes one. Recovers it: accepts a torn tail only above the last stated sync, rewrites what stands above that
 * sync into a new segment and syncs it, resolves open calls from their last PROGRESS (killed) or as VOID, writes missing SEALs. A directory that is damaged below its
 * last stated sync gets a file `damaged` with the sentence, is reported in *damaged (when not null), and the next one is taken. Blocking. */
struct journal *journal_open(const struct journal_config *config, struct buf *damaged, struct err *err) MUST_USE;
/* The same for one directory, by its path, that nobody holds; ERR_EXISTS when somebody does. For the console that takes up what is free.
 * ERR_CORRUPT when it is damaged. */
struct journal *journal_open_dir(const struct journal_config *config, const char *dir, struct err *err) MUST_USE;
/* The same for a directory of a writer that was retired, which none of the others opens: its open calls end and its months are
 * sealed, so that journal_tail_next() gives all that it ever had. ERR_INPUT when the writer was not retired. */
struct journal *journal_open_retired(const struct journal_config *config, const char *dir, struct err *err) MUST_USE;
/* Starts the thread. `notify_fd` (a non-blocking eventfd or pipe, borrowed) gets 8 bytes whenever journal_completed() has news.
 * Without a thread journal_completed() does its work first, so that a command needs neither. */
bool journal_start(struct journal *j, int notify_fd, struct err *err) MUST_USE;
/* Lets what one turn of a loop queues be written and synced together: instead of waking the thread at every record, `on_queued` is called at
 * the first, and what is queued until journal_flush() wakes it once. Without this call every record does. */
void journal_gather(struct journal *j, void (*on_queued)(void *arg), void *arg);
void journal_flush(struct journal *j);
/* Writes and syncs what is queued, ends the thread, seals the open segment if it has numbered records, gives up the lock. Nobody is
 * called any more: who still waits for a record calls journal_completed() until it came. */
void journal_free(struct journal *j);
DEFINE_AUTO(journal)

const char *journal_writer(const struct journal *j);
const char *journal_dir(const struct journal *j);
/* How often the directory had been taken by then, this time included; 0 when that could not be counted. */
uint64_t journal_turn(const struct journal *j);

/* Room for one call's BEGIN and END, taken at admission so that a full disk refuses new calls and never loses a record; ERR_FULL when there is none.
 * Given back by journal_unreserve(), or used up by the END. */
bool journal_reserve(struct journal *j, struct err *err) MUST_USE;
void journal_unreserve(struct journal *j);

/* Called from the loop thread when the record is durable; of a BEGIN, which is not synced, when it is written. Runs inside journal_completed(). */
typedef void journal_on_durable(void *arg);

/* Numbers, composes and queues. `sides[i]` null: the record has no place on that side; else the id that chooses the partition.
 * Times in bodies come from journal_now(). A call's END must follow journal_reserve(). An event whose period was sealed since its caller
 * looked at the clock ends at journal_now() instead. */
void journal_call(struct journal *j, const struct event *e, journal_on_durable *on_durable, void *arg);
/* A record of another numbered kind, borrowed for the call. */
struct journal_change {
    enum record_kind kind;
    struct span body;
    struct partition partition;
};
/* Always synced. ERR_FULL when the disk has no room: nothing was queued. */
bool journal_change(struct journal *j, const struct journal_change *change, journal_on_durable *on_durable, void *arg, struct err *err) MUST_USE;
/* A refund, booked now: its time and period are filled in, and never those of a period that was sealed. ERR_UNAVAILABLE while that period is before
 * the call's (another host's clock is ahead). Else as journal_change(). */
bool journal_refund(struct journal *j, struct refund *r, journal_on_durable *on_durable, void *arg, struct err *err) MUST_USE;
/* Of its kind (funds.h), booked now: time and period are filled in. Else as journal_change(). */
bool journal_funds(struct journal *j, struct funds *f, journal_on_durable *on_durable, void *arg, struct err *err) MUST_USE;
/* BEGIN: the event as far as it is known, with its currency (amount zero, outcome void), not synced. From here on exactly one END comes: once it is
 * written (`on_written`, null: nobody waits), also when this process dies. */
void journal_begin(struct journal *j, const struct event *e, journal_on_durable *on_written, void *arg);
/* What was used and what it costs so far, not synced; dropped first when space is short. */
void journal_progress(struct journal *j, const struct event *e);

/* Wall time that never runs back within this writer; also decides its period: crossing a period's end writes the SEAL first. */
int64_t journal_now(struct journal *j);
/* When the oldest record that no sealed segment has was written; 0: there is none. */
int64_t journal_unsealed_since(struct journal *j);
struct period journal_period(const struct journal *j); /* of the time that journal_now() last gave */

/* Runs callbacks of what became durable; call when notify_fd is readable (after reading it). */
void journal_completed(struct journal *j);
/* Everything before this position is durable. */
uint64_t journal_synced(const struct journal *j);
/* Heads of what is durable (and so may be shipped): for reports and for checking cursors. */
const struct record_heads *journal_heads(const struct journal *j);
/* Seals the open segment if it holds numbered records or a SEAL; `on_durable` when done (also when there was nothing to seal). */
void journal_seal(struct journal *j, journal_on_durable *on_durable, void *arg);
/* Once a second from the loop: hourly sealing, the period's end, preallocation. */
void journal_tick(struct journal *j);

/* Reads durable numbered records in order, from the first segment that may hold one above the given cursors; used to ship, live and in replay alike. */
struct journal_tail;
struct journal_tail *journal_tail_new(struct journal *j, const struct record_heads *cursors, struct err *err) MUST_USE;
void journal_tail_free(struct journal_tail *t);
DEFINE_AUTO(journal_tail)
/* 1: a numbered record (valid until the next call), with its CRC; 0: nothing more is durable now; -1: error. */
int journal_tail_next(struct journal_tail *t, struct record_head *head, struct span *line, uint32_t *crc, struct err *err) MUST_USE;
/* True when everything durable was returned (journal_tail_next() has answered 0, and nothing has become durable since). */
bool journal_tail_at_end(const struct journal_tail *t);
/* Records below the oldest kept segment are only in the archive: heads before the journal's first segment. A cursor below them needs the archive first. */
const struct record_heads *journal_first_heads(const struct journal *j);
/* Looks again (journal_tail_new() does): segments may have been released meanwhile. */
bool journal_refresh_first_heads(struct journal *j, struct err *err) MUST_USE;

#endif
