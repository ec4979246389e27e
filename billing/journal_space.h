/* journal_space.h - the arithmetic of room: what the growing segment and its spares still hold, what is queued, and what
 * is promised to calls that are open. All upper bounds: a promise is never broken, room may be left over. */
#ifndef TOLLGATE_BILLING_JOURNAL_SPACE_H
#define TOLLGATE_BILLING_JOURNAL_SPACE_H

#include "billing/segment.h"

#define CALL_FRAME_MAX (FRAME_HEAD + 192 + EVENT_BYTES_MAX)
/* A call's BEGIN and END, and a sync record before each. */
#define CALL_ROOM (2 * (CALL_FRAME_MAX + SYNC_FRAME_MAX))
/* Below this a segment has hardly room for its own header. */
#define SEGMENT_BYTES_MIN (128 * 1024)

struct journal_space {
    uint64_t segment_bytes;
    uint64_t free_bytes; /* of the growing segment */
    unsigned spares;
    uint64_t pending;  /* queued, not yet written */
    uint64_t reserved; /* calls */
};

/* What a frame takes at most, with its sync record and what it may leave unused at a segment's end. */
uint64_t journal_space_cost(uint64_t frame_bytes);
/* True when `cost` more bytes leave every promise as it is. */
bool journal_space_fits(const struct journal_space *s, uint64_t cost);
/* True when the growing segment can be ended now without needing room that the disk has not promised yet. */
bool journal_space_may_roll(const struct journal_space *s);
/* How many spares there should be. */
unsigned journal_space_spares_wanted(const struct journal_space *s);

#endif
