/* call_index.c - ids as 16 bytes, writers by number, sorted once at the end: twins then stand
 * side by side. */
#include "billing/call_index.h"

#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ID_BYTES    16
#define ID_PREFIX   4 /* "req_" */
#define CALLS_FIRST 256

struct call {
    unsigned char id[ID_BYTES];
    uint32_t writer;
    uint32_t partition; /* of its account */
    uint64_t n;
};

struct call_index {
    struct call *calls;
    size_t count, cap;
    char (*writers)[WRITER_TEXT];
    size_t writer_count;
};

static uint32_t writer_number(struct call_index *x, const char *writer);
static int compare_calls(const void *a, const void *b);

struct call_index *call_index_new(void)
{
    return xcalloc(1, sizeof(struct call_index));
}

void call_index_free(struct call_index *x)
{
    if (!x)
        return;
    free(x->calls);
    free(x->writers);
    free(x);
}

void call_index_add(struct call_index *x, struct span request_id, const char *writer,
                    const struct record_place *place)
{
    struct call *c;

    if (x->count == x->cap) {
        x->cap = x->cap ? 2 * x->cap : CALLS_FIRST;
        x->calls = xrealloc_array(x->calls, x->cap, sizeof *x->calls);
    }
    c = &x->calls[x->count];
    *c = (struct call){.writer = writer_number(x, writer),
                       .partition = place->partition[SIDE_ACCOUNT],
                       .n = place->n[SIDE_ACCOUNT]};
    if (hex_decode((struct span){request_id.data + ID_PREFIX, request_id.len - ID_PREFIX}, c->id,
                   ID_BYTES))
        x->count++;
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

void call_index_find_twins(struct call_index *x, struct reasons *out)
{
    if (x->count > 1)
        qsort(x->calls, x->count, sizeof *x->calls, compare_calls);
    for (size_t i = 1; i < x->count; i++) {
        const struct call *a = &x->calls[i - 1], *b = &x->calls[i];
        char id[2 * ID_BYTES + 1];

        if (memcmp(a->id, b->id, ID_BYTES) != 0)
            continue;
        hex_encode(a->id, ID_BYTES, id);
        reasons_add(
            out,
            "request req_%s is charged twice: as record %llu of partition a%02u of writer %s "
            "and as record %llu of partition a%02u of writer %s",
            id, (unsigned long long)a->n, (unsigned)a->partition, x->writers[a->writer],
            (unsigned long long)b->n, (unsigned)b->partition, x->writers[b->writer]);
    }
}

static int compare_calls(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    int order = memcmp(x->id, y->id, ID_BYTES);

    if (order == 0)
        order = x->writer < y->writer ? -1 : x->writer > y->writer;
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}
