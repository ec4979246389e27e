/* funds_set.c - sorted, all records of one operation stand together: those that move money first, then the steps in which a
 * grant was taken back, by where they begin. */
#include "billing/funds_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"

#define NAME_TEXT (ID_TEXT + CURRENCY_TEXT + 16)

static int compare_entries(const void *a, const void *b);
static size_t operation_end(const struct funds_set *s, size_t from);
static void sum_operation(const struct funds_entry *entries, size_t count, struct period p,
                          struct sum_table *out);
static void sum_steps(const struct funds_entry *grant, const struct funds_entry *end,
                      struct period p, struct sum_table *out);
static const struct funds_entry *step_at(const struct funds_entry *from,
                                         const struct funds_entry *end, int64_t taken);
static void add(struct sum_table *out, const struct funds_entry *its, enum record_kind kind,
                int64_t nanos);

void funds_set_clear(struct funds_set *s)
{
    free(s->entries);
    *s = (struct funds_set){0};
}

void funds_set_add(struct funds_set *s, const struct funds *f, const struct record_head *head)
{
    struct funds_entry *e;

    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->entries = xrealloc_array(s->entries, s->cap, sizeof *s->entries);
    }
    e = &s->entries[s->count++];
    *e = (struct funds_entry){.kind = f->kind,
                              .n = head->place.n[SIDE_ACCOUNT],
                              .period = f->period,
                              .at = f->at,
                              .nanos = f->amount.nanos,
                              .taken = f->taken,
                              .left = f->left};
    memcpy(e->account, f->account, sizeof e->account);
    memcpy(e->op, f->op, sizeof e->op);
    memcpy(e->currency, f->amount.currency, sizeof e->currency);
    memcpy(e->writer, head->writer, sizeof e->writer);
}

void funds_set_sum(struct funds_set *s, struct period p, struct sum_table *out)
{
    if (s->count > 1)
        qsort(s->entries, s->count, sizeof *s->entries, compare_entries);
    for (size_t from = 0, to; from < s->count; from = to) {
        to = operation_end(s, from);
        sum_operation(&s->entries[from], to - from, p, out);
    }
}

/* By operation; its first record first, then its steps, each first of those that begin where it does. */
static int compare_entries(const void *a, const void *b)
{
    const struct funds_entry *x = a, *y = b;
    int order = strcmp(x->account, y->account);

    if (order == 0)
        order = strcmp(x->op, y->op);
    if (order == 0)
        order = (x->kind == RECORD_EXPIRY) - (y->kind == RECORD_EXPIRY);
    if (order == 0)
        order = (x->taken > y->taken) - (x->taken < y->taken);
    if (order == 0)
        order = (x->at > y->at) - (x->at < y->at);
    if (order == 0)
        order = strcmp(x->writer, y->writer);
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static size_t operation_end(const struct funds_set *s, size_t from)
{
    const struct funds_entry *first = &s->entries[from];
    size_t to = from + 1;

    while (to < s->count && strcmp(s->entries[to].account, first->account) == 0 &&
           strcmp(s->entries[to].op, first->op) == 0)
        to++;
    return to;
}

/* Steps without their grant take nothing. */
static void sum_operation(const struct funds_entry *entries, size_t count, struct period p,
                          struct sum_table *out)
{
    const struct funds_entry *first = &entries[0];

    if (first->kind == RECORD_EXPIRY)
        return;
    if (period_compare(first->period, p) == 0)
        add(out, first, first->kind, first->nanos);
    if (first->kind == RECORD_GRANT)
        sum_steps(first, entries + count, p, out);
}

static void sum_steps(const struct funds_entry *grant, const struct funds_entry *end,
                      struct period p, struct sum_table *out)
{
    const struct funds_entry *step = grant;
    int64_t taken = 0;

    do {
        int64_t rest = grant->nanos - taken, counted;

        step = step_at(step + 1, end, taken);
        if (!step)
            return;
        counted = step->nanos < rest ? step->nanos : rest;
        taken += counted;
        if (period_compare(step->period, p) == 0)
            add(out, grant, RECORD_EXPIRY, -counted);
    } while (step->left > 0 && taken < grant->nanos);
}

/* The first that begins there; null when none does. */
static const struct funds_entry *step_at(const struct funds_entry *from,
                                         const struct funds_entry *end, int64_t taken)
{
    while (from < end && (from->kind != RECORD_EXPIRY || from->taken < taken))
        from++;
    return from < end && from->taken == taken ? from : NULL;
}

static void add(struct sum_table *out, const struct funds_entry *its, enum record_kind kind,
                int64_t nanos)
{
    char name[NAME_TEXT];
    struct sum *row;

    snprintf(name, sizeof name, "%s %s %s", record_kind_name(kind), its->account, its->currency);
    row = sum_table_row(out, span_of(name));
    row->nanos += nanos;
    row->calls++;
}
