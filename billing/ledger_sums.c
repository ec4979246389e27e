/* ledger_sums.c - the archive's sums are spelled as the apply scripts spell Redis's, so
 * comparing is comparing names and numbers, and a difference says at once where to look. */
#include "billing/ledger_sums.h"

#include <stdio.h>

static void compare_side(enum partition_side side, struct sum_table *archive,
                         struct sum_table *redis, struct reasons *out);
static void tell(enum partition_side side, const char *name, const struct sum *archive,
                 const struct sum *redis, struct reasons *out);
static const char *describe(const struct sum *s, char out[DECIMAL_TEXT + 40]);

void ledger_sums_init(struct ledger_sums *s)
{
    *s = (struct ledger_sums){0};
    for (int side = 0; side < SIDES; side++)
        s->side[side] = sum_table_new();
}

void ledger_sums_clear(struct ledger_sums *s)
{
    for (int side = 0; side < SIDES; side++)
        sum_table_free(s->side[side]);
    reasons_clear(&s->suspense);
    *s = (struct ledger_sums){0};
}

void ledger_sums_add_event(struct ledger_sums *s, const struct event *e)
{
    char debit[ID_TEXT + CURRENCY_TEXT], parties[PARTIES_TEXT], day[DAY_TEXT];
    struct sum *row;

    snprintf(debit, sizeof debit, "%s %s", e->account, e->amount.currency);
    row = sum_table_row(s->side[SIDE_ACCOUNT], span_of(debit));
    row->nanos += e->amount.nanos;
    row->calls++;
    event_parties(e, day_of(e->ended_at, day), parties);
    row = sum_table_row(s->side[SIDE_MODEL], span_of(parties));
    row->nanos += e->amount.nanos;
    row->calls++;
}

const char *event_parties(const struct event *e, const char *day, char out[PARTIES_TEXT])
{
    int n = snprintf(out, PARTIES_TEXT, "%s%s%s %s %s %lld ", e->model, day ? " " : "",
                     day ? day : "", e->amount.currency, e->contract, (long long)e->share_bp);

    for (size_t i = 0; i < e->owner_count; i++)
        n += snprintf(out + n, PARTIES_TEXT - (size_t)n, "%s%s:%lld", i ? "," : "", e->owners[i].id,
                      (long long)e->owners[i].weight);
    return out;
}

void ledger_sums_compare(struct ledger_sums *archive, struct ledger_sums *redis,
                         struct reasons *out)
{
    for (int side = 0; side < SIDES; side++)
        compare_side((enum partition_side)side, archive->side[side], redis->side[side], out);
}

static void compare_side(enum partition_side side, struct sum_table *archive,
                         struct sum_table *redis, struct reasons *out)
{
    sum_table_sort(archive);
    sum_table_sort(redis);
    for (size_t i = 0; i < sum_table_count(archive); i++) {
        const struct sum *a = sum_table_at(archive, i);
        const struct sum *r = sum_table_find(redis, span_of(a->name));

        if (!r || r->nanos != a->nanos || r->calls != a->calls)
            tell(side, a->name, a, r, out);
    }
    for (size_t i = 0; i < sum_table_count(redis); i++) {
        const struct sum *r = sum_table_at(redis, i);

        if (!sum_table_find(archive, span_of(r->name)))
            tell(side, r->name, NULL, r, out);
    }
}

static void tell(enum partition_side side, const char *name, const struct sum *archive,
                 const struct sum *redis, struct reasons *out)
{
    char partition[PARTITION_NAME], has[DECIMAL_TEXT + 40], books[DECIMAL_TEXT + 40];
    struct span id = {name, strcspn(name, " ")};

    partition_name(partition_of(side, id), partition);
    reasons_add(out, "partition %s: %s \"%.400s\" has %s in Redis, but %s in the archive",
                partition, side == SIDE_ACCOUNT ? "account" : "model", name, describe(redis, books),
                describe(archive, has));
}

static const char *describe(const struct sum *s, char out[DECIMAL_TEXT + 40])
{
    char decimal[DECIMAL_TEXT];

    if (!s)
        return "nothing";
    snprintf(out, DECIMAL_TEXT + 40, "%s in %lld calls", decimal_format(s->nanos, decimal),
             (long long)s->calls);
    return out;
}
