/* journal_log.c - frames to disk. Every batch that follows a sync begins with a record that states it: what stands below the
 * last such statement was durable once, so a bad byte there is damage and not a torn write. */
#include "billing/journal_log.h"

#include <assert.h>

#include "billing/seal.h"

/* Frames of a batch that have their positions and are to be written together: data[from, to). */
struct chunk {
    char *data;
    size_t from, to;
};

static struct chunk begin_chunk(struct journal_log *l, struct journal_batch *b);
static void build_sync_frame(struct journal_log *l);
static bool write_item(struct journal_log *l, const struct journal_item *item, struct chunk *c,
                       struct err *err);
static bool place(struct journal_log *l, const struct journal_item *item, struct chunk *c,
                  struct err *err);
static bool make_room(struct journal_log *l, struct chunk *c, uint64_t bytes, struct err *err);
static bool fits_here(const struct journal_log *l, uint64_t bytes);
static bool flush(struct journal_log *l, struct chunk *c, struct err *err);
static bool end_periods(struct journal_log *l, int64_t at, struct err *err);
static bool write_seal(struct journal_log *l, int64_t at, struct err *err);
static bool note(struct journal_log *l, const struct record_effect *e, uint64_t position,
                 struct span line, struct err *err);
static bool sync_all(struct journal_log *l, struct err *err);

bool journal_log_init(struct journal_log *l, const struct journal_home *home,
                      uint64_t segment_bytes, struct err *err)
{
    *l = (struct journal_log){.home = home};
    buf_init(&l->scratch, FRAME_HEAD + RECORD_BYTES_MAX);
    if (!buf_room(&l->scratch, l->scratch.max))
        return err_set(err, ERR_MEMORY, "no memory for a journal");
    return segment_writer_init(&l->out, home->path, segment_bytes, err);
}

void journal_log_clear(struct journal_log *l)
{
    segment_writer_clear(&l->out);
    journal_state_clear(&l->state);
    buf_clear(&l->scratch);
}

bool journal_log_begin_segment(struct journal_log *l, uint64_t number, uint64_t position,
                               struct err *err)
{
    struct segment_header h = {.segment = number,
                               .position = position,
                               .open_position = open_calls_oldest(l->state.open, position),
                               .at = l->state.at,
                               .totals = l->state.totals,
                               .heads = l->state.heads};
    AUTO_CLEAR(buf) json;

    memcpy(h.writer, l->home->writer, sizeof h.writer);
    memcpy(h.installation, l->home->installation, sizeof h.installation);
    buf_init(&json, SEGMENT_HEADER_MAX - FRAME_HEAD);
    segment_header_write(&h, &json);
    if (!buf_ok(&json, "a segment's header", err))
        return false;
    buf_truncate(&l->scratch, 0);
    frame_add(&l->scratch, buf_span(&json));
    if (!buf_ok(&l->scratch, "a segment's header", err) ||
        !segment_writer_begin(&l->out, number, position, err))
        return false;
    frame_place(l->scratch.data, position);
    l->holds_records = l->holds_seal = l->seal_wanted = false;
    return segment_writer_append(&l->out, buf_span(&l->scratch), err);
}

bool journal_log_publish_segment(struct journal_log *l, struct err *err)
{
    if (!segment_writer_publish(&l->out, err))
        return false;
    l->synced = l->stated = l->out.position;
    return true;
}

bool journal_log_write(struct journal_log *l, struct journal_batch *b, struct err *err)
{
    struct chunk c = begin_chunk(l, b);

    for (size_t i = 0; i < b->count; i++)
        if (!write_item(l, &b->items[i], &c, err))
            return false;
    return flush(l, &c, err) && (!b->wants_sync || sync_all(l, err));
}

/* The sync record goes into the bytes that the batch left free before its first frame. */
static struct chunk begin_chunk(struct journal_log *l, struct journal_batch *b)
{
    struct chunk c = {b->frames.data, SYNC_FRAME_MAX, SYNC_FRAME_MAX};

    if (b->frames.len == 0)
        return (struct chunk){NULL, 0, 0};
    if (l->synced > l->stated && fits_here(l, SYNC_FRAME_MAX)) {
        build_sync_frame(l);
        c.from -= l->scratch.len;
        memcpy(c.data + c.from, l->scratch.data, l->scratch.len);
    }
    return c;
}

static void build_sync_frame(struct journal_log *l)
{
    char bytes[SYNC_FRAME_MAX];
    struct buf json = {.data = bytes, .cap = sizeof bytes, .max = sizeof bytes - 1};

    sync_record_write(l->synced, &json);
    buf_truncate(&l->scratch, 0);
    frame_add(&l->scratch, buf_span(&json));
    assert(!l->scratch.failed && l->scratch.len <= SYNC_FRAME_MAX);
    frame_place(l->scratch.data, l->out.position);
    l->stated = l->synced;
}

static bool write_item(struct journal_log *l, const struct journal_item *item, struct chunk *c,
                       struct err *err)
{
    if (item->action == JOURNAL_RECORD)
        return place(l, item, c, err);
    l->seal_wanted = true;
    if (item->action == JOURNAL_PERIOD &&
        (!flush(l, c, err) || !end_periods(l, item->effect.at, err)))
        return false;
    if (item->effect.at > l->state.at)
        l->state.at = item->effect.at;
    return true;
}

static bool place(struct journal_log *l, const struct journal_item *item, struct chunk *c,
                  struct err *err)
{
    uint64_t position;

    if (!make_room(l, c, item->frame_bytes, err))
        return false;
    position = l->out.position + (c->to - c->from);
    frame_place(c->data + c->to, position);
    c->to += item->frame_bytes;
    return note(l, &item->effect, position, (struct span){"", 0}, err);
}

/* Without room for another segment this one grows beyond its size: better than losing a record. */
static bool make_room(struct journal_log *l, struct chunk *c, uint64_t bytes, struct err *err)
{
    if (fits_here(l, c->to - c->from + bytes))
        return true;
    return flush(l, c, err) && (!journal_log_may_roll(l) || journal_log_roll(l, err));
}

static bool fits_here(const struct journal_log *l, uint64_t bytes)
{
    return bytes <= segment_writer_free_bytes(&l->out);
}

static bool flush(struct journal_log *l, struct chunk *c, struct err *err)
{
    struct span bytes = {c->data + c->from, c->to - c->from};

    c->from = c->to;
    return bytes.len == 0 || segment_writer_append(&l->out, bytes, err);
}

static bool end_periods(struct journal_log *l, int64_t at, struct err *err)
{
    struct period now = period_of(at);

    while (period_compare(l->state.totals.period, now) < 0)
        if (!write_seal(l, at, err))
            return false;
    return true;
}

static bool write_seal(struct journal_log *l, int64_t at, struct err *err)
{
    struct seal seal = {.at = at, .totals = l->state.totals, .heads = l->state.heads};
    struct record_effect effect = {.kind = RECORD_SEAL, .at = at, .period = l->state.totals.period};
    struct chunk nothing = {NULL, 0, 0};
    AUTO_CLEAR(buf) body;
    AUTO_CLEAR(buf) record;

    buf_init(&body, SEGMENT_HEADER_MAX);
    buf_init(&record, SEGMENT_HEADER_MAX - FRAME_HEAD);
    seal_write(&seal, &body);
    record_compose(&record, RECORD_SEAL, l->home->writer, NULL, buf_span(&body));
    return buf_ok(&body, "a seal", err) && buf_ok(&record, "a seal", err) &&
           make_room(l, &nothing, FRAME_HEAD + record.len, err) &&
           journal_log_append(l, &effect, buf_span(&record), err);
}

bool journal_log_append(struct journal_log *l, const struct record_effect *e, struct span record,
                        struct err *err)
{
    uint64_t position = l->out.position;

    buf_truncate(&l->scratch, 0);
    frame_add(&l->scratch, record);
    if (!buf_ok(&l->scratch, "a frame", err))
        return false;
    frame_place(l->scratch.data, position);
    return segment_writer_append(&l->out, buf_span(&l->scratch), err) &&
           note(l, e, position, record, err);
}

static bool note(struct journal_log *l, const struct record_effect *e, uint64_t position,
                 struct span line, struct err *err)
{
    if (record_is_numbered(e->kind) && !l->holds_records) {
        l->holds_records = true;
        l->records_at = e->at;
    }
    l->holds_seal |= e->kind == RECORD_SEAL;
    return journal_state_apply(&l->state, e, position, line, err);
}

static bool sync_all(struct journal_log *l, struct err *err)
{
    if (!segment_writer_sync(&l->out, err))
        return false;
    l->synced = l->out.position;
    return true;
}

bool journal_log_state_synced(struct journal_log *l, struct err *err)
{
    if (l->synced <= l->stated || !fits_here(l, SYNC_FRAME_MAX))
        return true;
    build_sync_frame(l);
    return segment_writer_append(&l->out, buf_span(&l->scratch), err);
}

bool journal_log_may_roll(struct journal_log *l)
{
    return l->out.spares > 0 || segment_writer_add_spare(&l->out, NULL);
}

bool journal_log_roll(struct journal_log *l, struct err *err)
{
    uint64_t number = l->out.number, size;

    if (!sync_all(l, err))
        return false;
    size = l->out.position - l->out.base;
    return journal_log_begin_segment(l, number + 1, l->out.position, err) &&
           journal_log_publish_segment(l, err) && segment_seal(l->home->path, number, size, err);
}

bool journal_log_has_work(const struct journal_log *l)
{
    return l->holds_records || l->holds_seal;
}
