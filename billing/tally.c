/* tally.c - one row for each set of parties; an event only adds to its row. */
#include "billing/tally.h"

#include <stdio.h>

#include "billing/ledger_sums.h"
#include "lib/base/mem.h"

static struct party *party_of(struct tally *t, const struct event *e);
static void make_party(struct party *p, const struct event *e, const char *name);
static int compare_parties(const void *a, const void *b);

void tally_init(struct tally *t)
{
    *t = (struct tally){
        .index = sum_table_new(), .accounts = sum_table_new(), .currencies = sum_table_new()};
}

void tally_clear(struct tally *t)
{
    for (size_t i = 0; i < t->party_count; i++) {
        free(t->parties[i].name);
        free(t->parties[i].owners);
    }
    free(t->parties);
    sum_table_free(t->index);
    sum_table_free(t->accounts);
    sum_table_free(t->currencies);
    *t = (struct tally){0};
}

void tally_add(struct tally *t, const struct event *e)
{
    char account[ID_TEXT + CURRENCY_TEXT];
    struct party *p = party_of(t, e);
    struct sum *s;

    p->gross += e->amount.nanos;
    p->calls++;
    snprintf(account, sizeof account, "%s %s", e->account, e->amount.currency);
    s = sum_table_row(t->accounts, span_of(account));
    s->nanos += e->amount.nanos;
    s->calls++;
    s = sum_table_row(t->currencies, span_of(e->amount.currency));
    s->nanos += e->amount.nanos;
    s->calls++;
    t->events++;
}

static struct party *party_of(struct tally *t, const struct event *e)
{
    char name[PARTIES_TEXT];
    struct sum *row = sum_table_row(t->index, span_of(event_parties(e, NULL, name)));

    if (row->calls > 0)
        return &t->parties[row->calls - 1];
    if (t->party_count == t->party_cap) {
        t->party_cap = t->party_cap ? 2 * t->party_cap : 16;
        t->parties = xrealloc_array(t->parties, t->party_cap, sizeof *t->parties);
    }
    make_party(&t->parties[t->party_count], e, name);
    row->calls = (int64_t)++t->party_count;
    return &t->parties[t->party_count - 1];
}

static void make_party(struct party *p, const struct event *e, const char *name)
{
    *p = (struct party){
        .name = xstrdup(name), .share_bp = e->share_bp, .owner_count = e->owner_count};
    memcpy(p->model, e->model, sizeof p->model);
    memcpy(p->contract, e->contract, sizeof p->contract);
    memcpy(p->currency, e->amount.currency, sizeof p->currency);
    p->owners = xcalloc(e->owner_count, sizeof *p->owners);
    memcpy(p->owners, e->owners, e->owner_count * sizeof *p->owners);
}

void tally_sort(struct tally *t)
{
    if (t->party_count > 1)
        qsort(t->parties, t->party_count, sizeof *t->parties, compare_parties);
    sum_table_sort(t->accounts);
    sum_table_sort(t->currencies);
}

static int compare_parties(const void *a, const void *b)
{
    return strcmp(((const struct party *)a)->name, ((const struct party *)b)->name);
}
