/* journal_batch.h - what queued up for the journal: frames in one piece, ready to be written once they have their
 * positions, and for each what it does and who waits for it. */
#ifndef TOLLGATE_BILLING_JOURNAL_BATCH_H
#define TOLLGATE_BILLING_JOURNAL_BATCH_H

#include "billing/journal_state.h"

enum journal_action {
    JOURNAL_RECORD, /* a frame */
    JOURNAL_PERIOD, /* effect.at lies in a later period: a SEAL for each that ended, then the segment is sealed */
    JOURNAL_SEAL,   /* seal the segment if it has something to archive */
};

struct journal_item {
    enum journal_action action;
    uint32_t frame_bytes;
    struct record_effect effect;
    void (*on_durable)(void *arg); /* null: nobody waits; of what is not synced, when it is written */
    void *arg;
};

struct journal_batch {
    struct buf frames; /* SYNC_FRAME_MAX bytes left free for a sync record, then the items' frames */
    struct journal_item *items;
    size_t count, cap;
    uint64_t cost;      /* what journal_space counts as pending for it */
    bool wants_sync, is_awaited;
    struct journal_batch *next; /* the owner's, for lists */
};

struct journal_batch *journal_batch_new(void) MUST_USE;
void journal_batch_free(struct journal_batch *b); /* and all that follow in its list */
DEFINE_AUTO(journal_batch)
/* Keeps the memory. */
void journal_batch_clear(struct journal_batch *b);

/* Appends a record; its CRC is filled in. False when memory is refused: nothing was added. */
bool journal_batch_add(struct journal_batch *b, const struct record_effect *effect,
                       struct span record) MUST_USE;
/* Appends what is no record; `at` is effect.at. */
void journal_batch_ask(struct journal_batch *b, enum journal_action action, int64_t at);
/* Whoever waits for what was added last. */
void journal_batch_wait(struct journal_batch *b, void (*on_durable)(void *arg), void *arg);

#endif
