/* journal_log.h - what the journal's thread does with what queued up, without the thread: gives frames their positions, states
 * what is durable, writes, syncs, ends segments. It belongs to one thread at a time.
 * After any failure nothing is known of what is on disk: it must not be used again. */
#ifndef TOLLGATE_BILLING_JOURNAL_LOG_H
#define TOLLGATE_BILLING_JOURNAL_LOG_H

#include "billing/journal_batch.h"
#include "billing/journal_home.h"
#include "billing/segment_writer.h"

struct journal_log {
    const struct journal_home *home; /* borrowed */
    struct segment_writer out;
    struct journal_state state;
    uint64_t synced;    /* everything before this position is durable */
    uint64_t stated;    /* the last position that the journal itself says so of */
    bool holds_records; /* numbered ones, in the growing segment */
    int64_t records_at; /* the time of the first of them */
    bool holds_seal;
    bool seal_wanted;   /* by what was written */
    struct buf scratch; /* of full size from the start, so that a frame is never refused memory */
};

/* Opens the directory's spares; there is no segment yet. */
bool journal_log_init(struct journal_log *l, const struct journal_home *home,
                      uint64_t segment_bytes, struct err *err) MUST_USE;
void journal_log_clear(struct journal_log *l);
DEFINE_AUTO_CLEAR(journal_log)

/* Begins segment `number` at `position` with a header of the present state; it has no name until it is published. */
bool journal_log_begin_segment(struct journal_log *l, uint64_t number, uint64_t position,
                               struct err *err) MUST_USE;
bool journal_log_publish_segment(struct journal_log *l, struct err *err) MUST_USE;

/* Writes a batch in one write and, if it wants that, syncs it. */
bool journal_log_write(struct journal_log *l, struct journal_batch *b, struct err *err) MUST_USE;
/* One record at once, without syncing. */
bool journal_log_append(struct journal_log *l, const struct record_effect *e, struct span record,
                        struct err *err) MUST_USE;
/* Writes a sync record if something became durable that the journal does not state yet. */
bool journal_log_state_synced(struct journal_log *l, struct err *err) MUST_USE;
/* True when there is a spare, or the disk gave one. */
bool journal_log_may_roll(struct journal_log *l);
/* Syncs and seals the growing segment and goes on in the next. */
bool journal_log_roll(struct journal_log *l, struct err *err) MUST_USE;
/* True when sealing would give the archive something. */
bool journal_log_has_work(const struct journal_log *l);

#endif
