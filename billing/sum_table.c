/* sum_table.c - rows in an array, found through slots that hold row numbers (open addressing, at
 * most half full). */
#include "billing/sum_table.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"

#define SLOTS_FIRST 64

struct sum_table {
    struct sum *rows;
    size_t count, cap;
    uint32_t *slots;   /* 0: free; else row number + 1 */
    size_t slot_count; /* a power of two */
};

static size_t slot_of(const struct sum_table *t, struct span name);
static void grow(struct sum_table *t);
static void fill_slots(struct sum_table *t);
static int compare_rows(const void *a, const void *b);

struct sum_table *sum_table_new(void)
{
    struct sum_table *t = xcalloc(1, sizeof *t);

    grow(t);
    return t;
}

void sum_table_free(struct sum_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->rows[i].name);
    free(t->rows);
    free(t->slots);
    free(t);
}

struct sum *sum_table_row(struct sum_table *t, struct span name)
{
    size_t slot = slot_of(t, name);

    if (t->slots[slot])
        return &t->rows[t->slots[slot] - 1];
    if (t->count == t->cap) {
        grow(t);
        slot = slot_of(t, name);
    }
    t->rows[t->count] = (struct sum){.name = xstrndup(name.data, name.len)};
    t->slots[slot] = (uint32_t)++t->count;
    return &t->rows[t->count - 1];
}

const struct sum *sum_table_find(const struct sum_table *t, struct span name)
{
    uint32_t at = t->slots[slot_of(t, name)];

    return at ? &t->rows[at - 1] : NULL;
}

/* Where the name is, or the free slot where it would be. */
static size_t slot_of(const struct sum_table *t, struct span name)
{
    size_t slot = crc32c(0, name.data, name.len) & (t->slot_count - 1);

    while (t->slots[slot] && !span_equal(span_of(t->rows[t->slots[slot] - 1].name), name))
        slot = (slot + 1) & (t->slot_count - 1);
    return slot;
}

static void grow(struct sum_table *t)
{
    t->slot_count = t->slot_count ? 2 * t->slot_count : SLOTS_FIRST;
    t->cap = t->slot_count / 2;
    t->rows = xrealloc_array(t->rows, t->cap, sizeof *t->rows);
    t->slots = xrealloc_array(t->slots, t->slot_count, sizeof *t->slots);
    fill_slots(t);
}

static void fill_slots(struct sum_table *t)
{
    memset(t->slots, 0, t->slot_count * sizeof *t->slots);
    for (size_t i = 0; i < t->count; i++)
        t->slots[slot_of(t, span_of(t->rows[i].name))] = (uint32_t)i + 1;
}

size_t sum_table_count(const struct sum_table *t)
{
    return t->count;
}

const struct sum *sum_table_at(const struct sum_table *t, size_t i)
{
    return &t->rows[i];
}

void sum_table_sort(struct sum_table *t)
{
    qsort(t->rows, t->count, sizeof *t->rows, compare_rows);
    fill_slots(t);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct sum *)a)->name, ((const struct sum *)b)->name);
}
