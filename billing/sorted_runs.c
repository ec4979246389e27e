/* sorted_runs.c - the run in memory grows from small, so that a small month costs little; it is merged from where it
 * stands when nothing had to be written, else it becomes the last run of the file. */
#include "billing/sorted_runs.h"

#include <stdlib.h>
#include <string.h>

#include "billing/scratch_file.h"
#include "lib/base/mem.h"

#define ITEMS_FIRST  256
#define WINDOW_BYTES (64 * 1024)

/* One run while it is merged. */
struct run {
    uint64_t offset, end; /* in the file, of what is not in the window yet */
    char *window;         /* null: the run stands in memory as a whole */
    size_t at, filled;    /* bytes */
};

struct sorted_runs {
    struct sorted_runs_config config;
    char *dir;
    char *items; /* the run that grows */
    size_t count, cap;
    struct scratch_file *file; /* null until a run is full */
    struct run *runs;
    size_t run_count;
    size_t *heap; /* numbers of runs that have an item, the least first */
    size_t heap_count;
    bool is_ended, has_taken;
};

static bool write_run(struct sorted_runs *s, struct err *err);
static void add_run(struct sorted_runs *s, uint64_t offset, uint64_t end);
static bool rewind_run(struct sorted_runs *s, size_t number, uint64_t begin, struct err *err);
static bool refill(struct sorted_runs *s, struct run *r, struct err *err);
static bool is_less(const struct sorted_runs *s, size_t a, size_t b);
static void sift_up(struct sorted_runs *s, size_t i);
static void sift_down(struct sorted_runs *s);
static bool advance(struct sorted_runs *s, struct err *err);

struct sorted_runs *sorted_runs_new(const struct sorted_runs_config *config)
{
    struct sorted_runs *s = xcalloc(1, sizeof *s);

    s->config = *config;
    s->dir = config->dir ? xstrdup(config->dir) : NULL;
    if (!s->config.run_bytes)
        s->config.run_bytes = SORTED_RUN_BYTES;
    return s;
}

void sorted_runs_free(struct sorted_runs *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->run_count; i++)
        free(s->runs[i].window);
    scratch_file_free(s->file);
    free(s->runs);
    free(s->heap);
    free(s->items);
    free(s->dir);
    free(s);
}

bool sorted_runs_add(struct sorted_runs *s, const void *item, struct err *err)
{
    size_t size = s->config.item_size;

    if (s->count == s->cap && s->cap * size * 2 > s->config.run_bytes && s->cap) {
        if (!write_run(s, err))
            return false;
    } else if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : ITEMS_FIRST;
        s->items = xrealloc_array(s->items, s->cap, size);
    }
    memcpy(s->items + s->count * size, item, size);
    s->count++;
    return true;
}

static bool write_run(struct sorted_runs *s, struct err *err)
{
    struct span bytes = {s->items, s->count * s->config.item_size};
    uint64_t begin;

    if (!s->file && !(s->file = scratch_file_new(s->dir, err)))
        return false;
    qsort(s->items, s->count, s->config.item_size, s->config.compare);
    begin = scratch_file_size(s->file);
    for (size_t at = 0; at < bytes.len; at += WINDOW_BYTES) {
        size_t n = bytes.len - at < WINDOW_BYTES ? bytes.len - at : WINDOW_BYTES;

        if (!scratch_file_add(s->file, (struct span){bytes.data + at, n}, err))
            return false;
    }
    add_run(s, begin, begin + bytes.len);
    s->count = 0;
    return true;
}

static void add_run(struct sorted_runs *s, uint64_t offset, uint64_t end)
{
    s->runs = xrealloc_array(s->runs, s->run_count + 1, sizeof *s->runs);
    s->runs[s->run_count++] = (struct run){.offset = offset, .end = end};
}

bool sorted_runs_start(struct sorted_runs *s, struct err *err)
{
    if (!s->is_ended && s->run_count == 0) {
        if (s->count > 1)
            qsort(s->items, s->count, s->config.item_size, s->config.compare);
        add_run(s, 0, 0);
    } else if (!s->is_ended) {
        if ((s->count > 0 && !write_run(s, err)) || !scratch_file_flush(s->file, err))
            return false;
        free(KEEP(s->items));
    }
    s->is_ended = true;
    s->has_taken = false;
    s->heap = xrealloc_array(s->heap, s->run_count, sizeof *s->heap);
    s->heap_count = 0;
    for (size_t i = 0; i < s->run_count; i++)
        if (!rewind_run(s, i, i ? s->runs[i - 1].end : 0, err))
            return false;
    return true;
}

static bool rewind_run(struct sorted_runs *s, size_t number, uint64_t begin, struct err *err)
{
    struct run *r = &s->runs[number];

    r->at = 0;
    if (!s->file) {
        r->filled = s->count * s->config.item_size;
    } else {
        if (!r->window)
            r->window = xrealloc_array(NULL, WINDOW_BYTES, 1);
        r->offset = begin;
        if (!refill(s, r, err))
            return false;
    }
    if (r->filled > 0) {
        s->heap[s->heap_count] = number;
        sift_up(s, s->heap_count++);
    }
    return true;
}

/* Whole items only. */
static bool refill(struct sorted_runs *s, struct run *r, struct err *err)
{
    uint64_t left = r->end - r->offset;
    size_t most = WINDOW_BYTES - WINDOW_BYTES % s->config.item_size;
    size_t n = left < most ? (size_t)left : most;

    if (n > 0 && !scratch_file_read(s->file, r->offset, r->window, n, err))
        return false;
    r->offset += n;
    r->at = 0;
    r->filled = n;
    return true;
}

static const char *first_of(const struct sorted_runs *s, size_t run)
{
    const struct run *r = &s->runs[run];

    return (r->window ? r->window : s->items) + r->at;
}

static bool is_less(const struct sorted_runs *s, size_t a, size_t b)
{
    return s->config.compare(first_of(s, s->heap[a]), first_of(s, s->heap[b])) < 0;
}

static void swap(struct sorted_runs *s, size_t a, size_t b)
{
    size_t kept = s->heap[a];

    s->heap[a] = s->heap[b];
    s->heap[b] = kept;
}

static void sift_up(struct sorted_runs *s, size_t i)
{
    for (; i > 0 && is_less(s, i, (i - 1) / 2); i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static void sift_down(struct sorted_runs *s)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < s->heap_count; i = child) {
        if (child + 1 < s->heap_count && is_less(s, child + 1, child))
            child++;
        if (!is_less(s, child, i))
            return;
        swap(s, i, child);
    }
}

/* The item that was handed out stays where it is until the next one is asked for. */
int sorted_runs_next(struct sorted_runs *s, const void **item, struct err *err)
{
    if (s->has_taken && !advance(s, err))
        return -1;
    s->has_taken = s->heap_count > 0;
    if (!s->has_taken)
        return 0;
    *item = first_of(s, s->heap[0]);
    return 1;
}

static bool advance(struct sorted_runs *s, struct err *err)
{
    struct run *r = &s->runs[s->heap[0]];

    r->at += s->config.item_size;
    if (r->at == r->filled && r->window && !refill(s, r, err))
        return false;
    if (r->at == r->filled)
        s->heap[0] = s->heap[--s->heap_count];
    sift_down(s);
    return true;
}
