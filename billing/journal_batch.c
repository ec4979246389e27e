/* journal_batch.c - appending to what will be written in one piece. */
#include "billing/journal_batch.h"

#include <assert.h>

#include "billing/journal_space.h"
#include "lib/base/mem.h"

#define FRAMES_MAX \
    (1u << 30) /* room on disk is promised before anything is queued, and bounds it earlier */

static struct journal_item *append(struct journal_batch *b, enum journal_action action);
static bool add_frame(struct buf *frames, struct span record);

struct journal_batch *journal_batch_new(void)
{
    struct journal_batch *b = xcalloc(1, sizeof *b);

    buf_init(&b->frames, FRAMES_MAX);
    return b;
}

void journal_batch_free(struct journal_batch *b)
{
    struct journal_batch *next;

    for (; b; b = next) {
        next = b->next;
        buf_clear(&b->frames);
        free(b->items);
        free(b);
    }
}

void journal_batch_clear(struct journal_batch *b)
{
    buf_truncate(&b->frames, 0);
    b->count = 0;
    b->cost = 0;
    b->wants_sync = b->is_awaited = false;
    b->next = NULL;
}

bool journal_batch_add(struct journal_batch *b, const struct record_effect *effect,
                       struct span record)
{
    size_t before = b->frames.len;
    struct journal_item *item;

    if (!add_frame(&b->frames, record)) {
        buf_truncate(&b->frames, before);
        return false;
    }
    item = append(b, JOURNAL_RECORD);
    item->frame_bytes = (uint32_t)(FRAME_HEAD + record.len);
    item->effect = *effect;
    item->effect.crc = frame_crc(b->frames.data + b->frames.len - item->frame_bytes);
    b->cost += journal_space_cost(item->frame_bytes);
    b->wants_sync |= record_is_archived(effect->kind);
    return true;
}

static bool add_frame(struct buf *frames, struct span record)
{
    static const char free_bytes[SYNC_FRAME_MAX];

    if (frames->len == 0 && !buf_add(frames, free_bytes, sizeof free_bytes))
        return false;
    return frame_add(frames, record);
}

void journal_batch_ask(struct journal_batch *b, enum journal_action action, int64_t at)
{
    append(b, action)->effect.at = at;
    b->wants_sync = true;
}

void journal_batch_wait(struct journal_batch *b, void (*on_durable)(void *arg), void *arg)
{
    assert(b->count > 0);
    b->items[b->count - 1].on_durable = on_durable;
    b->items[b->count - 1].arg = arg;
    b->is_awaited |= on_durable != NULL;
}

static struct journal_item *append(struct journal_batch *b, enum journal_action action)
{
    struct journal_item *item;

    if (b->count == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 16;
        b->items = xrealloc_array(b->items, b->cap, sizeof *b->items);
    }
    item = &b->items[b->count++];
    *item = (struct journal_item){.action = action};
    return item;
}
