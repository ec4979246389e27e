/* event_spool.c - lines are appended to a scratch file and read back by position; only their keys
 * are sorted. */
#include "billing/event_spool.h"

#include "billing/record.h"
#include "billing/scratch_file.h"
#include "billing/sorted_runs.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ID_BYTES  16
#define ID_PREFIX 4 /* "req_" */

struct entry {
    int64_t ended_at;
    unsigned char id[ID_BYTES];
    uint64_t offset;
    uint64_t len;
};

struct event_spool {
    struct scratch_file *lines;
    struct sorted_runs *entries;
    struct buf line;
};

static int compare_entries(const void *a, const void *b);

struct event_spool *event_spool_new(const char *dir, struct err *err)
{
    const struct sorted_runs_config config = {
        .item_size = sizeof(struct entry), .compare = compare_entries, .dir = dir};
    struct scratch_file *lines = scratch_file_new(dir, err);
    struct event_spool *s;

    if (!lines)
        return NULL;
    s = xcalloc(1, sizeof *s);
    s->lines = lines;
    s->entries = sorted_runs_new(&config);
    buf_init(&s->line, RECORD_BYTES_MAX);
    return s;
}

void event_spool_free(struct event_spool *s)
{
    if (!s)
        return;
    scratch_file_free(s->lines);
    sorted_runs_free(s->entries);
    buf_clear(&s->line);
    free(s);
}

bool event_spool_add(struct event_spool *s, const struct event *e, struct span line,
                     struct err *err)
{
    struct entry entry = {
        .ended_at = e->ended_at, .offset = scratch_file_size(s->lines), .len = line.len};

    if (!hex_decode(span_of(e->request_id + ID_PREFIX), entry.id, ID_BYTES))
        return err_set(err, ERR_INPUT, "\"%s\" is no request id", e->request_id);
    return scratch_file_add(s->lines, line, err) && sorted_runs_add(s->entries, &entry, err);
}

bool event_spool_start(struct event_spool *s, struct err *err)
{
    return scratch_file_flush(s->lines, err) && sorted_runs_start(s->entries, err);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->ended_at != y->ended_at)
        return x->ended_at < y->ended_at ? -1 : 1;
    return memcmp(x->id, y->id, ID_BYTES);
}

int event_order(int64_t ended_a, const char *request_a, int64_t ended_b, const char *request_b)
{
    if (ended_a != ended_b)
        return ended_a < ended_b ? -1 : 1;
    return strcmp(request_a, request_b);
}

int event_spool_next(struct event_spool *s, struct span *line, struct err *err)
{
    const struct entry *entry;
    const void *item;
    char *room;
    int got = sorted_runs_next(s->entries, &item, err);

    if (got != 1)
        return got;
    entry = item;
    buf_truncate(&s->line, 0);
    room = buf_room(&s->line, entry->len);
    if (!buf_ok(&s->line, "an event", err) ||
        !scratch_file_read(s->lines, entry->offset, room, entry->len, err))
        return -1;
    buf_added(&s->line, entry->len);
    *line = buf_span(&s->line);
    return 1;
}
