/* call_index.c - ids as 16 bytes, writers by number, put in order at the end: twins then stand
 * side by side. */
#include "billing/call_index.h"

#include "billing/sorted_runs.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ID_BYTES  16
#define ID_PREFIX 4 /* "req_" */

struct call {
    unsigned char id[ID_BYTES];
    uint32_t writer;
    uint32_t partition; /* of its account */
    uint64_t n;
};

struct call_index {
    struct sorted_runs *calls;
    char (*writers)[WRITER_TEXT];
    size_t writer_count;
};

static uint32_t writer_number(struct call_index *x, const char *writer);
static void add_twins(const struct call_index *x, const struct call *a, const struct call *b,
                      struct reasons *out);
static int compare_calls(const void *a, const void *b);

struct call_index *call_index_new(const char *dir)
{
    const struct sorted_runs_config config = {
        .item_size = sizeof(struct call), .compare = compare_calls, .dir = dir};
    struct call_index *x = xcalloc(1, sizeof *x);

    x->calls = sorted_runs_new(&config);
    return x;
}

void call_index_free(struct call_index *x)
{
    if (!x)
        return;
    sorted_runs_free(x->calls);
    free(x->writers);
    free(x);
}

bool call_index_add(struct call_index *x, struct span request_id, const char *writer,
                    const struct record_place *place, struct err *err)
{
    struct call c = {.writer = writer_number(x, writer),
                     .partition = place->partition[SIDE_ACCOUNT],
                     .n = place->n[SIDE_ACCOUNT]};

    return !hex_decode((struct span){request_id.data + ID_PREFIX, request_id.len - ID_PREFIX}, c.id,
                       ID_BYTES) ||
           sorted_runs_add(x->calls, &c, err);
}

/* Most calls are of the writer of the call before. */
static uint32_t writer_number(struct call_index *x, const char *writer)
{
    for (size_t i = x->writer_count; i-- > 0;)
        if (strcmp(x->writers[i], writer) == 0)
            return (uint32_t)i;
    x->writers = xrealloc_array(x->writers, x->writer_count + 1, sizeof *x->writers);
    memcpy(x->writers[x->writer_count], writer, strlen(writer) + 1);
    return (uint32_t)x->writer_count++;
}

bool call_index_find_twins(struct call_index *x, struct reasons *out, struct err *err)
{
    struct call last = {.n = 0};
    bool is_first = true;
    const void *item;
    int got;

    if (!sorted_runs_start(x->calls, err))
        return false;
    while ((got = sorted_runs_next(x->calls, &item, err)) == 1) {
        const struct call *c = item;

        if (!is_first && memcmp(last.id, c->id, ID_BYTES) == 0)
            add_twins(x, &last, c, out);
        last = *c;
        is_first = false;
    }
    return got == 0;
}

static void add_twins(const struct call_index *x, const struct call *a, const struct call *b,
                      struct reasons *out)
{
    char id[2 * ID_BYTES + 1];

    hex_encode(a->id, ID_BYTES, id);
    reasons_add(out,
                "request req_%s is charged twice: as record %llu of partition a%02u of writer %s "
                "and as record %llu of partition a%02u of writer %s",
                id, (unsigned long long)a->n, (unsigned)a->partition, x->writers[a->writer],
                (unsigned long long)b->n, (unsigned)b->partition, x->writers[b->writer]);
}

static int compare_calls(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    int order = memcmp(x->id, y->id, ID_BYTES);

    if (order == 0)
        order = x->writer < y->writer ? -1 : x->writer > y->writer;
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}
