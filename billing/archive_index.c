/* archive_index.c - segment numbers are dense and a file never changes, so a refresh opens only what is new. */
#include "billing/archive_index.h"

#include "billing/archive_file.h"
#include "lib/base/mem.h"

struct indexed_writer {
    char writer[WRITER_TEXT];
    uint64_t segments; /* taken in */
    struct record_heads heads;
};

struct archive_index {
    char *archive;
    struct indexed_writer **writers; /* each stays where it is: segments name it */
    size_t writer_count;
    struct archived_segment *segments;
    size_t count, cap;
};

static struct indexed_writer *writer_of(struct archive_index *x, const char *writer);
static struct indexed_writer *find(const struct archive_index *x, const char *writer);
static bool take_file(struct archive_index *x, struct indexed_writer *w, struct err *err);
static void add_segment(struct archive_index *x, const struct indexed_writer *w,
                        const struct archive_header *h);

struct archive_index *archive_index_new(const char *archive)
{
    struct archive_index *x = xcalloc(1, sizeof *x);

    x->archive = xstrdup(archive);
    return x;
}

void archive_index_free(struct archive_index *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->writer_count; i++)
        free(x->writers[i]);
    free(x->writers);
    free(x->segments);
    free(x->archive);
    free(x);
}

bool archive_index_refresh(struct archive_index *x, size_t files_max, bool *is_whole,
                           struct err *err)
{
    struct archive_writer *list;
    size_t count, files = 0;
    bool ok = true;

    *is_whole = true;
    if (!archive_writers(x->archive, &list, &count, err))
        return false;
    for (size_t i = 0; ok && i < count; i++) {
        struct indexed_writer *w = writer_of(x, list[i].writer);

        while (ok && w->segments < list[i].segments && files < files_max) {
            ok = take_file(x, w, err);
            files++;
        }
        *is_whole &= w->segments == list[i].segments;
    }
    free(list);
    return ok;
}

static struct indexed_writer *writer_of(struct archive_index *x, const char *writer)
{
    struct indexed_writer *w = find(x, writer);

    if (w)
        return w;
    w = xcalloc(1, sizeof *w);
    memcpy(w->writer, writer, strlen(writer) + 1);
    x->writers = xrealloc_array(x->writers, x->writer_count + 1, sizeof(struct indexed_writer *));
    x->writers[x->writer_count++] = w;
    return w;
}

static struct indexed_writer *find(const struct archive_index *x, const char *writer)
{
    for (size_t i = x->writer_count; i-- > 0;)
        if (strcmp(x->writers[i]->writer, writer) == 0)
            return x->writers[i];
    return NULL;
}

static bool take_file(struct archive_index *x, struct indexed_writer *w, struct err *err)
{
    AUTO_STRING path = archive_path(x->archive, w->writer, w->segments + 1);
    struct archive_header h;

    if (!archive_file_header(path, &h, err))
        return false;
    if (strcmp(h.writer, w->writer) != 0 || h.segment != w->segments + 1)
        return err_set(err, ERR_CORRUPT, "%s is segment %llu of writer %s", path,
                       (unsigned long long)h.segment, h.writer);
    if (h.calls > 0)
        add_segment(x, w, &h);
    w->heads = h.heads;
    w->segments++;
    return true;
}

static void add_segment(struct archive_index *x, const struct indexed_writer *w,
                        const struct archive_header *h)
{
    struct archived_segment s = {.writer = w->writer,
                                 .number = h->segment,
                                 .first_at = h->first_at,
                                 .last_at = h->last_at,
                                 .first_request_ms = h->first_request_ms,
                                 .last_request_ms = h->last_request_ms,
                                 .calls = h->calls};

    for (unsigned i = 0; i < PARTITIONS; i++)
        if (h->heads.at[SIDE_ACCOUNT][i].n > w->heads.at[SIDE_ACCOUNT][i].n)
            s.account_partitions |= UINT64_C(1) << i;
    if (x->count == x->cap) {
        x->cap = x->cap ? 2 * x->cap : 64;
        x->segments = xrealloc_array(x->segments, x->cap, sizeof *x->segments);
    }
    x->segments[x->count++] = s;
}

const struct record_heads *archive_index_heads(const struct archive_index *x, const char *writer)
{
    const struct indexed_writer *w = find(x, writer);

    return w && w->segments > 0 ? &w->heads : NULL;
}

const struct archived_segment *archive_index_segments(const struct archive_index *x, size_t *count)
{
    *count = x->count;
    return x->segments;
}
