/* ledger_sums.c - the archive's sums are spelled as the apply scripts spell Redis's, so
 * comparing is comparing names and numbers, and a difference says at once where to look. */
#include "billing/ledger_sums.h"

#include <stdio.h>

#include "billing/parties.h"

#define FIGURES_TEXT (DECIMAL_TEXT + 40)

/* What is compared, in words. */
struct comparison {
    enum partition_side side;
    const char *what, *counted; /* "refunds of account", "calls" */
    bool is_behind_word;        /* the id that chose the partition is the name's second word */
};

static void add_to(struct sum_table *t, const char *name, int64_t nanos);
static void compare(const struct comparison *c, struct sum_table *archive, struct sum_table *redis,
                    struct reasons *out);
static void tell(const struct comparison *c, const char *name, const struct sum *archive,
                 const struct sum *redis, struct reasons *out);
static const char *describe(const struct sum *s, const char *counted, char out[FIGURES_TEXT]);

void ledger_sums_init(struct ledger_sums *s)
{
    *s = (struct ledger_sums){0};
    for (int side = 0; side < SIDES; side++) {
        s->side[side] = sum_table_new();
        s->refunds[side] = sum_table_new();
    }
    s->funds = sum_table_new();
}

void ledger_sums_clear(struct ledger_sums *s)
{
    for (int side = 0; side < SIDES; side++) {
        sum_table_free(s->side[side]);
        sum_table_free(s->refunds[side]);
    }
    sum_table_free(s->funds);
    reasons_clear(&s->suspense);
    *s = (struct ledger_sums){0};
}

void ledger_sums_add_event(struct ledger_sums *s, const struct event *e)
{
    char debit[ID_TEXT + CURRENCY_TEXT], name[PARTIES_TEXT], day[DAY_TEXT];
    const struct parties parties = parties_of_event(e);

    snprintf(debit, sizeof debit, "%s %s", e->account, e->amount.currency);
    add_to(s->side[SIDE_ACCOUNT], debit, e->amount.nanos);
    add_to(s->side[SIDE_MODEL], parties_name_of_day(&parties, day_of(e->ended_at, day), name),
           e->amount.nanos);
}

static void add_to(struct sum_table *t, const char *name, int64_t nanos)
{
    struct sum *row = sum_table_row(t, span_of(name));

    row->nanos += nanos;
    row->calls++;
}

void ledger_sums_add_refund(struct ledger_sums *s, const struct refund *r)
{
    char credit[ID_TEXT + CURRENCY_TEXT], name[PARTIES_TEXT];
    const struct parties parties = parties_of_refund(r);

    snprintf(credit, sizeof credit, "%s %s", r->account, r->amount.currency);
    add_to(s->refunds[SIDE_ACCOUNT], credit, r->amount.nanos);
    add_to(s->refunds[SIDE_MODEL], parties_name_of_period(&parties, r->orig_period, name),
           r->amount.nanos);
}

void ledger_sums_compare(struct ledger_sums *archive, struct ledger_sums *redis,
                         struct reasons *out)
{
    static const struct comparison calls[SIDES] = {{SIDE_ACCOUNT, "account", "calls", false},
                                                   {SIDE_MODEL, "model", "calls", false}};
    static const struct comparison refunds[SIDES] = {
        {SIDE_ACCOUNT, "refunds of account", "refunds", false},
        {SIDE_MODEL, "refunds of model", "refunds", true}};

    static const struct comparison funds = {SIDE_ACCOUNT, "money of account", "bookings", true};

    for (int side = 0; side < SIDES; side++) {
        compare(&calls[side], archive->side[side], redis->side[side], out);
        compare(&refunds[side], archive->refunds[side], redis->refunds[side], out);
    }
    compare(&funds, archive->funds, redis->funds, out);
}

static void compare(const struct comparison *c, struct sum_table *archive, struct sum_table *redis,
                    struct reasons *out)
{
    sum_table_sort(archive);
    sum_table_sort(redis);
    for (size_t i = 0; i < sum_table_count(archive); i++) {
        const struct sum *a = sum_table_at(archive, i);
        const struct sum *r = sum_table_find(redis, span_of(a->name));

        if (!r || r->nanos != a->nanos || r->calls != a->calls)
            tell(c, a->name, a, r, out);
    }
    for (size_t i = 0; i < sum_table_count(redis); i++) {
        const struct sum *r = sum_table_at(redis, i);

        if (!sum_table_find(archive, span_of(r->name)))
            tell(c, r->name, NULL, r, out);
    }
}

static void tell(const struct comparison *c, const char *name, const struct sum *archive,
                 const struct sum *redis, struct reasons *out)
{
    char partition[PARTITION_NAME], has[FIGURES_TEXT], books[FIGURES_TEXT];
    const char *from = c->is_behind_word ? name + strcspn(name, " ") + 1 : name;
    struct span id = {from, strcspn(from, " ")};

    partition_name(partition_of(c->side, id), partition);
    reasons_add(out, "partition %s: %s \"%.400s\" has %s in Redis, but %s in the archive",
                partition, c->what, name, describe(redis, c->counted, books),
                describe(archive, c->counted, has));
}

static const char *describe(const struct sum *s, const char *counted, char out[FIGURES_TEXT])
{
    char decimal[DECIMAL_TEXT];

    if (!s)
        return "nothing";
    snprintf(out, FIGURES_TEXT, "%s in %lld %s", decimal_format(s->nanos, decimal),
             (long long)s->calls, counted);
    return out;
}
