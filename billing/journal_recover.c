/* journal_recover.c - a torn end is told from damage by one fact: a sync record, or the header of a later segment, is only ever
 * written after everything below the position that it states was durable. So a bad frame above the highest statement was
 * cut off while being written, and nobody was told of it; below it, something has happened to the disk. */
#include "billing/journal_recover.h"

#include "billing/journal_resolve.h"

#define LAST_FILE_MAX (1u << 30)

struct recovery {
    const struct journal_home *home;
    struct segment_file *files;
    size_t count;
    const struct segment_file *last; /* the segment that was growing */
    struct segment_header header;    /* of the last */
    struct buf bytes;                /* of the last, all of them */
    uint64_t header_end,
        valid_end;   /* positions: of its first frame's end, of the last whole frame's */
    uint64_t synced; /* the last stated sync */
};

static void recovery_clear(struct recovery *r);
DEFINE_AUTO_CLEAR(recovery)

static bool examine(struct recovery *r, struct err *err);
static bool check_order(const struct recovery *r, struct err *err);
static bool out_of_order(const struct segment_file *f, const char *what, struct err *err);
static bool read_last(struct recovery *r, struct err *err);
static bool next_frame(const struct recovery *r, uint64_t position, struct frame *out,
                       uint64_t *next);
static bool is_sync(struct span json);
static bool note_statement(struct recovery *r, const struct frame *f, struct err *err);
static bool refuse_later_statement(const struct recovery *r, struct err *err);
static bool corrupt(const struct recovery *r, uint64_t position, const char *what, struct err *err);
static bool begin_first(struct journal_log *log, int64_t now, struct err *err);
static bool track_open_calls(const struct recovery *r, struct journal_state *s, struct err *err);
static bool track_segment(const struct segment_file *f, uint64_t from, uint64_t to,
                          struct journal_state *s, struct err *err);
static bool replay(const struct recovery *r, struct journal_state *s, struct err *err);
static bool at_frame(const struct recovery *r, const struct frame *f, struct err *err);
static bool finish_sealing(const struct recovery *r, struct err *err);
static bool is_untouched(const struct recovery *r);
static bool resume(const struct recovery *r, struct journal_log *log, struct err *err);
static bool rewrite(const struct recovery *r, struct journal_log *log, struct err *err);
static bool copy_frames(const struct recovery *r, struct journal_log *log, struct err *err);

bool journal_recover(struct journal_log *log, const struct journal_home *home,
                     uint64_t segment_bytes, int64_t now, struct err *err)
{
    AUTO_CLEAR(recovery) r = {.home = home};

    *log = (struct journal_log){.out.fd = -1};
    buf_init(&r.bytes, LAST_FILE_MAX);
    if (!dir_sync(home->path, err) || !segment_list(home->path, &r.files, &r.count, err))
        return false;
    if (r.count == 0 && home->registered)
        return err_set(err, ERR_CORRUPT, "%s had records once, but has no segment", home->path);
    if (r.count > 0 && !examine(&r, err))
        return false;
    if (!journal_log_init(log, home, segment_bytes, err))
        return false;
    if (r.count == 0)
        return begin_first(log, now, err);
    journal_state_init(&log->state, &r.header);
    if (!track_open_calls(&r, &log->state, err) || !replay(&r, &log->state, err) ||
        !finish_sealing(&r, err))
        return false;
    if (!(is_untouched(&r) ? resume(&r, log, err) : rewrite(&r, log, err)))
        return false;
    return journal_resolve(log, now, err);
}

static void recovery_clear(struct recovery *r)
{
    segment_list_free(r->files, r->count);
    buf_clear(&r->bytes);
}

static bool examine(struct recovery *r, struct err *err)
{
    r->last = &r->files[r->count - 1];
    if (!check_order(r, err) || !segment_header_read(r->last->path, &r->header, err))
        return false;
    if (strcmp(r->header.writer, r->home->writer) != 0 ||
        strcmp(r->header.installation, r->home->installation) != 0)
        return out_of_order(r->last, "belongs to another writer or installation", err);
    return read_last(r, err);
}

/* The last is open. The one before it may be: then a crash came between its successor's name and its own. */
static bool check_order(const struct recovery *r, struct err *err)
{
    for (size_t i = 0; i + 1 < r->count; i++) {
        const struct segment_file *f = &r->files[i], *next = f + 1;

        if (next->number != f->number + 1)
            return out_of_order(next, "does not follow the segment before it", err);
        if (!f->sealed && next != r->last)
            return out_of_order(f, "is open, but is not the last", err);
        if (f->sealed && f->position + f->size != next->position)
            return out_of_order(f, "does not end where the next segment begins", err);
    }
    return !r->last->sealed || out_of_order(r->last, "is sealed, but none follows it", err);
}

static bool out_of_order(const struct segment_file *f, const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s, offset 0: %s", f->path, what);
}

/* Finds the end of the whole frames and the highest statement. */
static bool read_last(struct recovery *r, struct err *err)
{
    uint64_t next;
    struct frame f;

    if (!file_read(r->last->path, &r->bytes, err))
        return false;
    if (!next_frame(r, r->last->position, &f, &next))
        return corrupt(r, r->last->position, "no whole segment record", err);
    r->header_end = r->valid_end = r->synced = next;
    while (next_frame(r, r->valid_end, &f, &next)) {
        if (is_sync(f.json) && !note_statement(r, &f, err))
            return false;
        r->valid_end = next;
    }
    return refuse_later_statement(r, err);
}

/* False where no whole frame stands, for whatever reason. */
static bool next_frame(const struct recovery *r, uint64_t position, struct frame *out,
                       uint64_t *next)
{
    uint64_t offset = position - r->last->position;
    struct span rest = {r->bytes.data + offset, r->bytes.len - offset};
    size_t size;
    bool ended;

    if (frame_read(rest, position, out, &size, &ended, NULL) != 1)
        return false;
    *next = position + size;
    return true;
}

static bool is_sync(struct span json)
{
    return span_starts(json, SPAN("{\"kind\":\"sync\","));
}

static bool note_statement(struct recovery *r, const struct frame *f, struct err *err)
{
    uint64_t synced;

    if (!sync_record_parse(f->json, &synced, err) || synced > f->position)
        return corrupt(r, f->position, "a sync record states what it cannot know", err);
    if (synced > r->synced)
        r->synced = synced;
    return true;
}

/* Looks behind the first bad frame. A frame carries its own position, so it can be found without those before it. */
static bool refuse_later_statement(const struct recovery *r, struct err *err)
{
    uint64_t position, next, synced;
    struct frame f;

    for (position = r->valid_end + 1; position + FRAME_HEAD <= r->last->position + r->bytes.len;
         position++) {
        if (frame_position(r->bytes.data + (position - r->last->position)) != position ||
            !next_frame(r, position, &f, &next) || !is_sync(f.json))
            continue;
        if (sync_record_parse(f.json, &synced, NULL) && synced > r->valid_end)
            return corrupt(r, r->valid_end, "no whole frame, though a later one states its sync",
                           err);
    }
    return true;
}

static bool corrupt(const struct recovery *r, uint64_t position, const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s, offset %llu: %s", r->last->path,
                   (unsigned long long)(position - r->last->position), what);
}

static bool begin_first(struct journal_log *log, int64_t now, struct err *err)
{
    struct segment_header h = {.at = now, .totals.period = period_of(now)};

    journal_state_init(&log->state, &h);
    return journal_log_begin_segment(log, 1, 0, err) && journal_log_publish_segment(log, err);
}

/* Reads what stands before the last segment as far back as the oldest call that was open there. */
static bool track_open_calls(const struct recovery *r, struct journal_state *s, struct err *err)
{
    uint64_t from = r->header.open_position;

    if (from < r->files[0].position)
        return out_of_order(r->files, "a segment before it is needed, but is gone", err);
    for (size_t i = 0; i + 1 < r->count; i++) {
        uint64_t begins = r->files[i].position, ends = r->files[i + 1].position;

        if (ends > from &&
            !track_segment(&r->files[i], from > begins ? from : begins, ends, s, err))
            return false;
    }
    return true;
}

static bool track_segment(const struct segment_file *f, uint64_t from, uint64_t to,
                          struct journal_state *s, struct err *err)
{
    AUTO(segment_reader) reader = segment_reader_open(f->path, from, err);
    struct record_effect effect;
    struct frame frame;

    if (!reader)
        return false;
    segment_reader_limit(reader, to);
    while (segment_reader_position(reader) < to) {
        int got = segment_reader_next(reader, &frame, err);

        if (got == 0)
            err_set(err, ERR_CORRUPT, "%s, offset %llu: ends too early", f->path,
                    (unsigned long long)(segment_reader_position(reader) - f->position));
        if (got <= 0)
            return false;
        if (!record_effect_parse(frame.json, frame.crc, &effect, err))
            return err_context(err, "%s, offset %llu", f->path,
                               (unsigned long long)(frame.position - f->position));
        journal_state_track(s, &effect, frame.position, frame.json);
    }
    return true;
}

/* The last segment's records up to the last stated sync. */
static bool replay(const struct recovery *r, struct journal_state *s, struct err *err)
{
    uint64_t position = r->header_end;
    struct record_effect effect;
    struct frame f;

    while (position < r->synced && next_frame(r, position, &f, &position)) {
        if (!record_effect_parse(f.json, f.crc, &effect, err) ||
            !journal_state_apply(s, &effect, f.position, f.json, err))
            return at_frame(r, &f, err);
    }
    return position == r->synced ||
           corrupt(r, position, "a sync is stated that is no frame's end", err);
}

static bool at_frame(const struct recovery *r, const struct frame *f, struct err *err)
{
    return err_context(err, "%s, offset %llu", r->last->path,
                       (unsigned long long)(f->position - r->last->position));
}

static bool finish_sealing(const struct recovery *r, struct err *err)
{
    const struct segment_file *f = r->count > 1 ? r->last - 1 : NULL;

    return !f || f->sealed ||
           segment_seal(r->home->path, f->number, r->last->position - f->position, err);
}

/* Nothing was written behind the header: the segment can grow on where it is. */
static bool is_untouched(const struct recovery *r)
{
    size_t from = (size_t)(r->header_end - r->last->position);

    if (r->valid_end != r->header_end)
        return false;
    for (size_t i = from; i < r->bytes.len; i++)
        if (r->bytes.data[i] != '\0')
            return false;
    return true;
}

static bool resume(const struct recovery *r, struct journal_log *log, struct err *err)
{
    if (!segment_writer_resume(&log->out, r->last->path, r->last->number, r->last->position,
                               r->header_end, err))
        return false;
    log->synced = log->stated = r->header_end;
    return true;
}

/* The new segment states its own sync: it gets its name only after that has come true. */
static bool rewrite(const struct recovery *r, struct journal_log *log, struct err *err)
{
    if (!journal_log_begin_segment(log, r->last->number + 1, r->synced, err) ||
        !copy_frames(r, log, err))
        return false;
    log->synced = log->out.position;
    log->stated = r->synced;
    return journal_log_state_synced(log, err) && journal_log_publish_segment(log, err) &&
           segment_seal(r->home->path, r->last->number, r->synced - r->last->position, err);
}

static bool copy_frames(const struct recovery *r, struct journal_log *log, struct err *err)
{
    uint64_t position = r->synced;
    struct record_effect effect;
    struct frame f;

    while (position < r->valid_end && next_frame(r, position, &f, &position)) {
        if (is_sync(f.json))
            continue;
        if (!record_effect_parse(f.json, f.crc, &effect, err) ||
            !journal_log_append(log, &effect, f.json, err))
            return at_frame(r, &f, err);
    }
    return true;
}
