/* funds_set.h - records of money that no call moves, of one period and those before it: which of them count, and what they
 * come to. The same counting as scripts/funds.lua, for whoever has the records and not Redis. */
#ifndef TOLLGATE_BILLING_FUNDS_SET_H
#define TOLLGATE_BILLING_FUNDS_SET_H

#include "billing/funds.h"
#include "billing/sum_table.h"

struct funds_entry {
    enum record_kind kind;
    char account[ID_TEXT], op[ID_TEXT];
    char currency[CURRENCY_TEXT];
    char writer[WRITER_TEXT];
    uint64_t n;
    struct period period;
    int64_t at, nanos, taken, left;
};
struct funds_set {
    struct funds_entry *entries;
    size_t count, cap;
};
void funds_set_clear(struct funds_set *s); /* leaves it empty, to be used again */
DEFINE_AUTO_CLEAR(funds_set)
void funds_set_add(struct funds_set *s, const struct funds *f, const struct record_head *head);
/* Adds up what counts in that period, as the hash `booked` spells it behind the period: "kind account currency" → nanos, and
 * how many. Needs all records up to the period, and may put them in another order. */
void funds_set_sum(struct funds_set *s, struct period p, struct sum_table *out);

#endif
