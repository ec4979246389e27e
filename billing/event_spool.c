/* event_spool.c - lines are appended through one buffer and read back by position; only their
 * keys are sorted. */
#include "billing/event_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "billing/record.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ID_BYTES      16
#define ID_PREFIX     4 /* "req_" */
#define WRITE_BYTES   (1024 * 1024)
#define ENTRIES_FIRST 256

struct entry {
    int64_t ended_at;
    unsigned char id[ID_BYTES];
    uint64_t offset;
    uint32_t len;
};

struct event_spool {
    int fd;
    struct entry *entries;
    size_t count, cap;
    uint64_t bytes;       /* of all lines */
    struct buf unwritten; /* the last of them */
    size_t next;
    struct buf line;
};

static int open_unnamed(const char *dir, struct err *err);
static bool write_out(struct event_spool *s, struct err *err);
static int compare_entries(const void *a, const void *b);
static bool read_at(int fd, char *bytes, size_t n, uint64_t offset, struct err *err);

struct event_spool *event_spool_new(const char *dir, struct err *err)
{
    struct event_spool *s;
    int fd = open_unnamed(dir, err);

    if (fd < 0)
        return NULL;
    s = xcalloc(1, sizeof *s);
    s->fd = fd;
    buf_init(&s->unwritten, WRITE_BYTES + RECORD_BYTES_MAX);
    buf_init(&s->line, RECORD_BYTES_MAX);
    return s;
}

static int open_unnamed(const char *dir, struct err *err)
{
    AUTO_STRING path = path_join(dir, ".events-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0)
        err_sys(err, "cannot create a file in %s", dir);
    else
        unlink(path);
    return fd;
}

void event_spool_free(struct event_spool *s)
{
    if (!s)
        return;
    close(s->fd);
    free(s->entries);
    buf_clear(&s->unwritten);
    buf_clear(&s->line);
    free(s);
}

bool event_spool_add(struct event_spool *s, const struct event *e, struct span line,
                     struct err *err)
{
    struct entry *entry;

    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : ENTRIES_FIRST;
        s->entries = xrealloc_array(s->entries, s->cap, sizeof *s->entries);
    }
    entry = &s->entries[s->count];
    *entry = (struct entry){.ended_at = e->ended_at, .offset = s->bytes, .len = (uint32_t)line.len};
    if (!hex_decode(span_of(e->request_id + ID_PREFIX), entry->id, ID_BYTES))
        return err_set(err, ERR_INPUT, "\"%s\" is no request id", e->request_id);
    buf_add_span(&s->unwritten, line);
    if (!buf_ok(&s->unwritten, "the events' file", err))
        return false;
    s->count++;
    s->bytes += line.len;
    return s->unwritten.len < WRITE_BYTES || write_out(s, err);
}

static bool write_out(struct event_spool *s, struct err *err)
{
    if (!fd_write_all(s->fd, buf_span(&s->unwritten).data, s->unwritten.len, err))
        return err_context(err, "the events' file");
    buf_truncate(&s->unwritten, 0);
    return true;
}

bool event_spool_start(struct event_spool *s, struct err *err)
{
    if (!write_out(s, err))
        return false;
    if (s->count > 1)
        qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
    s->next = 0;
    return true;
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
    char *room;

    if (s->next == s->count)
        return 0;
    entry = &s->entries[s->next];
    buf_truncate(&s->line, 0);
    room = buf_room(&s->line, entry->len);
    if (!buf_ok(&s->line, "an event", err) || !read_at(s->fd, room, entry->len, entry->offset, err))
        return -1;
    buf_added(&s->line, entry->len);
    *line = buf_span(&s->line);
    s->next++;
    return 1;
}

static bool read_at(int fd, char *bytes, size_t n, uint64_t offset, struct err *err)
{
    while (n > 0) {
        ssize_t got = pread(fd, bytes, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read the events' file");
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "the events' file is shorter than what was written");
        bytes += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}
