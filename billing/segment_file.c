/* segment_file.c - the files of segments: their names, their order, and reading one from a position on through a
 * window of bounded size, whether it is complete or still being written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "billing/segment.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define NUMBER_DIGITS 8
#define WINDOW_BYTES  (2 * (FRAME_HEAD + RECORD_BYTES_MAX))
#define LIST_TRIES    10

struct segment_reader {
    int fd;
    char *path;
    uint64_t base;     /* of the file's first byte */
    uint64_t position; /* of the next frame */
    uint64_t limit;
    size_t start, len; /* of what is read but not yet returned, in the window */
    char window[WINDOW_BYTES];
};

enum listing { LISTED, CHANGED, FAILED };

static bool read_start(const char *path, struct buf *out, struct frame *first, struct err *err);
static enum listing list_once(const char *dir, struct segment_file **files, size_t *count,
                              struct err *err);
static bool parse_name(const char *name, struct segment_file *out);
static enum listing examine(struct segment_file *f, struct err *err);
static int fill(struct segment_reader *r, struct err *err);
static int no_more(struct segment_reader *r, struct err *err);

char *segment_path(const char *dir, uint64_t number, bool sealed)
{
    return xasprintf("%s/%0*llu.%s", dir, NUMBER_DIGITS, (unsigned long long)number,
                     sealed ? "seg" : "open");
}

bool segment_header_read(const char *path, struct segment_header *out, struct err *err)
{
    AUTO_CLEAR(buf) bytes;
    struct frame first;
    struct segment_header h;

    buf_init(&bytes, SEGMENT_HEADER_MAX);
    if (!read_start(path, &bytes, &first, err))
        return false;
    if (!segment_header_parse(first.json, &h, err))
        return err_context(err, "%s", path);
    if (h.position != first.position)
        return err_set(err, ERR_CORRUPT, "%s: its record states another position", path);
    *out = h;
    return true;
}

/* The first frame itself says which position to expect; the checksum and its kind prove it. */
static bool read_start(const char *path, struct buf *out, struct frame *first, struct err *err)
{
    char *room = buf_room(out, SEGMENT_HEADER_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t position;
    size_t size;
    bool ended;
    ssize_t got;

    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    got = room ? pread(fd, room, SEGMENT_HEADER_MAX, 0) : -1;
    if (got < 0)
        err_sys(err, "cannot read %s", path);
    close(fd);
    if (got < 0)
        return false;
    buf_added(out, (size_t)got);
    if (out->len < FRAME_HEAD)
        return err_set(err, ERR_CORRUPT, "%s: shorter than any segment", path);
    position = frame_position(out->data);
    if (frame_read(buf_span(out), position, first, &size, &ended, NULL) != 1 ||
        !span_starts(first->json, SPAN("{\"kind\":\"segment\",")))
        return err_set(err, ERR_CORRUPT, "%s: does not begin with a whole segment record", path);
    return true;
}

bool segment_list(const char *dir, struct segment_file **files, size_t *count, struct err *err)
{
    enum listing done = CHANGED;

    for (int tries = 0; tries < LIST_TRIES && done == CHANGED; tries++)
        done = list_once(dir, files, count, err);
    return done == LISTED;
}

static enum listing list_once(const char *dir, struct segment_file **files, size_t *count,
                              struct err *err)
{
    struct segment_file *list;
    enum listing done = LISTED;
    size_t names_count, n = 0;
    char **names;

    if (!dir_list(dir, &names, &names_count, err))
        return FAILED;
    list = xcalloc(names_count, sizeof *list);
    for (size_t i = 0; i < names_count && done == LISTED; i++) {
        if (!parse_name(names[i], &list[n]))
            continue;
        list[n].path = path_join(dir, names[i]);
        done = examine(&list[n++], err);
    }
    dir_names_free(names, names_count);
    if (done != LISTED) {
        segment_list_free(list, n);
        return done;
    }
    *files = list;
    *count = n;
    return LISTED;
}

static bool parse_name(const char *name, struct segment_file *out)
{
    struct span number = {name, NUMBER_DIGITS};

    if (strlen(name) <= NUMBER_DIGITS || name[NUMBER_DIGITS] != '.' ||
        !digits_parse(number, UINT32_MAX, &out->number))
        return false;
    out->sealed = strcmp(name + NUMBER_DIGITS, ".seg") == 0;
    return out->sealed || strcmp(name + NUMBER_DIGITS, ".open") == 0;
}

/* A file that is gone by now was sealed (and has another name) or released. */
static enum listing examine(struct segment_file *f, struct err *err)
{
    AUTO_CLEAR(buf) bytes;
    struct frame first;
    struct stat st;
    struct err why;

    buf_init(&bytes, SEGMENT_HEADER_MAX);
    if (!read_start(f->path, &bytes, &first, &why)) {
        err_set(err, why.code, "%s", why.text);
        return why.code == ERR_NOT_FOUND ? CHANGED : FAILED;
    }
    if (stat(f->path, &st) != 0) {
        err_sys(err, "cannot examine %s", f->path);
        return errno == ENOENT ? CHANGED : FAILED;
    }
    f->position = first.position;
    f->size = (uint64_t)st.st_size;
    return LISTED;
}

void segment_list_free(struct segment_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(files[i].path);
    free(files);
}

struct segment_reader *segment_reader_open(const char *path, uint64_t position, struct err *err)
{
    AUTO(segment_reader) r = xcalloc(1, sizeof *r);
    char head[FRAME_HEAD];

    r->path = xstrdup(path);
    r->position = position;
    r->limit = UINT64_MAX;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        err_sys(err, "cannot open %s", path);
        return NULL;
    }
    if (pread(r->fd, head, sizeof head, 0) != (ssize_t)sizeof head) {
        err_set(err, ERR_CORRUPT, "%s: shorter than any segment", path);
        return NULL;
    }
    r->base = frame_position(head);
    if (position < r->base) {
        err_set(err, ERR_CORRUPT, "%s: begins after position %llu", path,
                (unsigned long long)position);
        return NULL;
    }
    return KEEP(r);
}

void segment_reader_free(struct segment_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    free(r);
}

void segment_reader_limit(struct segment_reader *r, uint64_t position)
{
    r->limit = position;
}

uint64_t segment_reader_position(const struct segment_reader *r)
{
    return r->position;
}

/* Bytes behind a zero length are forgotten: in an open segment they are not yet what they will be. */
int segment_reader_next(struct segment_reader *r, struct frame *out, struct err *err)
{
    for (;;) {
        struct span bytes = {r->window + r->start, r->len};
        size_t size;
        bool ended;
        int got = frame_read(bytes, r->position, out, &size, &ended, err);

        if (got > 0) {
            r->start += size;
            r->len -= size;
            r->position += size;
            return 1;
        }
        if (ended)
            r->len = 0;
        if (got == 0 && !ended)
            got = fill(r, err);
        else if (got < 0)
            err_context(err, "%s, offset %llu", r->path,
                        (unsigned long long)(r->position - r->base));
        if (got <= 0)
            return got == 0 && r->len > 0 ? no_more(r, err) : got;
    }
}

/* Reads behind what is in the window: 1 when something came, 0 at the end of the file or the limit. */
static int fill(struct segment_reader *r, struct err *err)
{
    uint64_t from = r->position + r->len;
    size_t want;
    ssize_t got;

    memmove(r->window, r->window + r->start, r->len);
    r->start = 0;
    want = sizeof r->window - r->len;
    if (r->limit <= from)
        return 0;
    if (r->limit - from < want)
        want = (size_t)(r->limit - from);
    do
        got = pread(r->fd, r->window + r->len, want, (off_t)(from - r->base));
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        err_sys(err, "cannot read %s", r->path);
        return -1;
    }
    r->len += (size_t)got;
    return got > 0;
}

static int no_more(struct segment_reader *r, struct err *err)
{
    err_set(err, ERR_CORRUPT, "%s, offset %llu: cut short", r->path,
            (unsigned long long)(r->position - r->base));
    return -1;
}
