/* tally.c - one row for each set of parties; an event or a refund only adds to its row. */
#include "billing/tally.h"

#include <stdio.h>

#include "lib/base/mem.h"

static struct party *party_of(struct tally *t, const struct parties *with, struct period orig);
static void make_party(struct party *p, const struct parties *with, struct period orig,
                       const char *name);
static void add_to(struct sum_table *t, const char *name, int64_t nanos);
static const char *account_name(const char *account, const char *currency,
                                char out[ID_TEXT + CURRENCY_TEXT]);
static int compare_parties(const void *a, const void *b);

void tally_init(struct tally *t)
{
    *t = (struct tally){.index = sum_table_new(),
                        .accounts = sum_table_new(),
                        .account_refunds = sum_table_new(),
                        .currencies = sum_table_new(),
                        .currency_refunds = sum_table_new()};
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
    sum_table_free(t->account_refunds);
    sum_table_free(t->currencies);
    sum_table_free(t->currency_refunds);
    *t = (struct tally){0};
}

void tally_add(struct tally *t, const struct event *e)
{
    char account[ID_TEXT + CURRENCY_TEXT];
    const struct parties with = parties_of_event(e);
    struct party *p = party_of(t, &with, e->period);

    p->gross += e->amount.nanos;
    p->calls++;
    add_to(t->accounts, account_name(e->account, e->amount.currency, account), e->amount.nanos);
    add_to(t->currencies, e->amount.currency, e->amount.nanos);
    t->events++;
}

void tally_add_refund(struct tally *t, const struct refund *r)
{
    char account[ID_TEXT + CURRENCY_TEXT];
    const struct parties with = parties_of_refund(r);

    party_of(t, &with, r->orig_period)->refunds += r->amount.nanos;
    add_to(t->account_refunds, account_name(r->account, r->amount.currency, account),
           r->amount.nanos);
    add_to(t->currency_refunds, r->amount.currency, r->amount.nanos);
    t->refunds++;
}

static void add_to(struct sum_table *t, const char *name, int64_t nanos)
{
    struct sum *s = sum_table_row(t, span_of(name));

    s->nanos += nanos;
    s->calls++;
}

static const char *account_name(const char *account, const char *currency,
                                char out[ID_TEXT + CURRENCY_TEXT])
{
    snprintf(out, ID_TEXT + CURRENCY_TEXT, "%s %s", account, currency);
    return out;
}

static struct party *party_of(struct tally *t, const struct parties *with, struct period orig)
{
    char name[PARTIES_TEXT];
    struct sum *row = sum_table_row(t->index, span_of(parties_name_of_period(with, orig, name)));

    if (row->calls > 0)
        return &t->parties[row->calls - 1];
    if (t->party_count == t->party_cap) {
        t->party_cap = t->party_cap ? 2 * t->party_cap : 16;
        t->parties = xrealloc_array(t->parties, t->party_cap, sizeof *t->parties);
    }
    make_party(&t->parties[t->party_count], with, orig, name);
    row->calls = (int64_t)++t->party_count;
    return &t->parties[t->party_count - 1];
}

static void make_party(struct party *p, const struct parties *with, struct period orig,
                       const char *name)
{
    *p = (struct party){.name = xstrdup(name),
                        .orig_period = orig,
                        .share_bp = with->share_bp,
                        .owner_count = with->owner_count};
    snprintf(p->model, sizeof p->model, "%s", with->model);
    snprintf(p->contract, sizeof p->contract, "%s", with->contract);
    snprintf(p->currency, sizeof p->currency, "%s", with->currency);
    p->owners = xcalloc(with->owner_count, sizeof *p->owners);
    memcpy(p->owners, with->owners, with->owner_count * sizeof *p->owners);
}

void tally_sort(struct tally *t)
{
    if (t->party_count > 1)
        qsort(t->parties, t->party_count, sizeof *t->parties, compare_parties);
    sum_table_sort(t->accounts);
    sum_table_sort(t->account_refunds);
    sum_table_sort(t->currencies);
    sum_table_sort(t->currency_refunds);
}

static int compare_parties(const void *a, const void *b)
{
    return strcmp(((const struct party *)a)->name, ((const struct party *)b)->name);
}
