/* refund_set.c - the same counting as scripts/refund.lua, for whoever has the records and not
 * Redis. */
#include "billing/refund_set.h"

#include "lib/base/mem.h"

static int compare_entries(const void *a, const void *b);
static void decide_call(struct refund_entry *entries, size_t count);
static bool is_repeated(const struct refund_entry *entries, size_t at);

void refund_set_clear(struct refund_set *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->entries[i].line);
    free(s->entries);
    *s = (struct refund_set){0};
}

void refund_set_add(struct refund_set *s, const struct refund *r, const struct record_head *head,
                    struct span line)
{
    struct refund_entry *e;

    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->entries = xrealloc_array(s->entries, s->cap, sizeof *s->entries);
    }
    e = &s->entries[s->count++];
    *e = (struct refund_entry){.n = head->place.n[SIDE_ACCOUNT],
                               .period = r->period,
                               .at = r->at,
                               .nanos = r->amount.nanos,
                               .charged = r->charged,
                               .line = line.data ? xstrndup(line.data, line.len) : NULL};
    memcpy(e->request_id, r->request_id, sizeof e->request_id);
    memcpy(e->op, r->op, sizeof e->op);
    memcpy(e->writer, head->writer, sizeof e->writer);
}

void refund_set_decide(struct refund_set *s)
{
    size_t from = 0, to;

    if (s->count > 1)
        qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
    for (; from < s->count; from = to) {
        for (to = from + 1; to < s->count; to++)
            if (strcmp(s->entries[to].request_id, s->entries[from].request_id) != 0)
                break;
        decide_call(&s->entries[from], to - from);
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct refund_entry *x = a, *y = b;
    int order = strcmp(x->request_id, y->request_id);

    order = order ? order : period_compare(x->period, y->period);
    if (order == 0 && x->at != y->at)
        order = x->at < y->at ? -1 : 1;
    order = order ? order : strcmp(x->writer, y->writer);
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

static void decide_call(struct refund_entry *entries, size_t count)
{
    int128 total = 0;

    for (size_t i = 0; i < count; i++) {
        struct refund_entry *e = &entries[i];

        e->counts = !is_repeated(entries, i) && total + e->nanos <= e->charged;
        total += e->counts ? e->nanos : 0;
    }
}

static bool is_repeated(const struct refund_entry *entries, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(entries[i].op, entries[at].op) == 0)
            return true;
    return false;
}
