/* journal_space.c - see the header; kept apart so that it can be tested without a disk. */
#include "billing/journal_space.h"

#include "billing/segment_writer.h"

static uint64_t room(const struct journal_space *s);
static uint64_t usable(const struct journal_space *s);
static uint64_t promised(const struct journal_space *s);

uint64_t journal_space_cost(uint64_t frame_bytes)
{
    uint64_t waste = frame_bytes > CALL_FRAME_MAX ? frame_bytes : 0;

    return frame_bytes + SYNC_FRAME_MAX + waste;
}

bool journal_space_fits(const struct journal_space *s, uint64_t cost)
{
    return room(s) >= promised(s) + cost;
}

bool journal_space_may_roll(const struct journal_space *s)
{
    return s->spares > 0 && s->spares * usable(s) >= promised(s);
}

/* Twice what is promised, so that a burst of calls finds the room made before it came. */
unsigned journal_space_spares_wanted(const struct journal_space *s)
{
    uint64_t wanted = 1 + 2 * (s->reserved + 1) * CALL_ROOM / usable(s);

    return wanted < SPARES_MAX ? (unsigned)wanted : SPARES_MAX;
}

/* The end of the growing segment may stay unused, up to one call's frame. */
static uint64_t room(const struct journal_space *s)
{
    uint64_t here = s->free_bytes > CALL_FRAME_MAX ? s->free_bytes - CALL_FRAME_MAX : 0;

    return here + s->spares * usable(s);
}

static uint64_t usable(const struct journal_space *s)
{
    return s->segment_bytes - SEGMENT_HEADER_MAX - CALL_FRAME_MAX;
}

/* Besides what is queued and reserved, a SEAL must always find its place. */
static uint64_t promised(const struct journal_space *s)
{
    return s->pending + s->reserved * CALL_ROOM + SEGMENT_HEADER_MAX;
}
