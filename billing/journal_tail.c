/* journal_tail.c - reads the journal's own files behind its thread: what is durable comes out of the page cache, and
 * replay after Redis lost a suffix is the same code as shipping live. */
#include "billing/journal.h"
#include "lib/base/mem.h"

struct journal_tail {
    const struct journal *journal; /* borrowed */
    struct record_heads cursors;   /* what the reader has */
    struct segment_reader *reader;
    uint64_t number; /* of the segment being read */
};

static bool find_start(struct journal_tail *t, struct err *err);
static const struct segment_file *latest_within(const struct journal_tail *t,
                                                const struct segment_file *files, size_t count,
                                                struct err *err);
static bool is_within(const struct record_heads *heads, const struct record_heads *cursors);
static bool open_segment(struct journal_tail *t, uint64_t number, uint64_t position,
                         struct err *err);
static int read_frame(struct journal_tail *t, struct frame *out, struct err *err);

struct journal_tail *journal_tail_new(struct journal *j, const struct record_heads *cursors,
                                      struct err *err)
{
    AUTO(journal_tail) t = xcalloc(1, sizeof *t);

    t->journal = j;
    t->cursors = *cursors;
    if (!journal_refresh_first_heads(j, err) || !find_start(t, err))
        return NULL;
    return KEEP(t);
}

void journal_tail_free(struct journal_tail *t)
{
    if (!t)
        return;
    segment_reader_free(t->reader);
    free(t);
}

static bool find_start(struct journal_tail *t, struct err *err)
{
    const struct segment_file *start;
    struct segment_file *files;
    size_t count;
    bool ok;

    if (!segment_list(journal_dir(t->journal), &files, &count, err))
        return false;
    start = latest_within(t, files, count, err);
    ok = start && open_segment(t, start->number, start->position, err);
    segment_list_free(files, count);
    return ok;
}

/* The last segment before which the reader has everything; else the first there is. */
static const struct segment_file *latest_within(const struct journal_tail *t,
                                                const struct segment_file *files, size_t count,
                                                struct err *err)
{
    struct segment_header h;

    for (size_t i = count; i-- > 0;) {
        if (i == 0)
            return files;
        if (files[i].position > journal_synced(t->journal))
            continue;
        if (!segment_header_read(files[i].path, &h, err))
            return NULL;
        if (is_within(&h.heads, &t->cursors))
            return &files[i];
    }
    err_set(err, ERR_CORRUPT, "%s has no segment", journal_dir(t->journal));
    return NULL;
}

static bool is_within(const struct record_heads *heads, const struct record_heads *cursors)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (heads->at[side][i].n > cursors->at[side][i].n)
                return false;
    return true;
}

/* An open segment may be sealed at any moment, never the reverse: so the open name is tried first. */
static bool open_segment(struct journal_tail *t, uint64_t number, uint64_t position,
                         struct err *err)
{
    const char *dir = journal_dir(t->journal);
    AUTO_STRING open_path = segment_path(dir, number, false);
    AUTO_STRING sealed_path = segment_path(dir, number, true);

    segment_reader_free(t->reader);
    t->number = number;
    t->reader = segment_reader_open(open_path, position, NULL);
    if (!t->reader)
        t->reader = segment_reader_open(sealed_path, position, err);
    return t->reader != NULL;
}

int journal_tail_next(struct journal_tail *t, struct record_head *head, struct span *line,
                      uint32_t *crc, struct err *err)
{
    struct frame f;
    int got;

    while ((got = read_frame(t, &f, err)) == 1) {
        if (!record_head_parse(f.json, head, err))
            return -1;
        if (!record_is_numbered(head->kind) || !record_is_beyond(&t->cursors, &head->place))
            continue;
        *line = f.json;
        *crc = f.crc;
        return 1;
    }
    return got;
}

/* Where one segment ends below what is durable, the next begins at the same position. */
static int read_frame(struct journal_tail *t, struct frame *out, struct err *err)
{
    while (!journal_tail_at_end(t)) {
        int got;

        segment_reader_limit(t->reader, journal_synced(t->journal));
        got = segment_reader_next(t->reader, out, err);
        if (got != 0)
            return got;
        if (!open_segment(t, t->number + 1, segment_reader_position(t->reader), err))
            return -1;
    }
    return 0;
}

bool journal_tail_at_end(const struct journal_tail *t)
{
    return segment_reader_position(t->reader) >= journal_synced(t->journal);
}
