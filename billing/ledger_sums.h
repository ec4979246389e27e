/* ledger_sums.h - what one period adds up to by account and by model: as Redis has it, and as the
 * archive has it. Settlement closes only when they are the same to the nano. */
#ifndef TOLLGATE_BILLING_LEDGER_SUMS_H
#define TOLLGATE_BILLING_LEDGER_SUMS_H

#include "billing/partition.h"
#include "billing/reasons.h"
#include "billing/refund.h"
#include "billing/sum_table.h"

struct ledger_sums {
    /* Account side: "account currency". Model side: "model day currency contract share_bp
     * owners", owners as id:weight,id:weight. As the hashes debits:<period> and gross:<period>
     * spell them. */
    struct sum_table *side[SIDES];
    /* What was given back in the period, by the refunds that count. Account side: "account
     * currency". Model side: "orig_period model currency contract share_bp owners". As the hashes
     * refunded spell them behind the period. */
    struct sum_table *refunds[SIDES];
    /* What moved in the period without a call, by the records that count: "kind account currency". As the hash booked
     * spells it behind the period. */
    struct sum_table *funds;
    struct reasons suspense; /* what could not be booked: where, which, why */
    int64_t redis_time; /* of the server's clock, plus clock_offset(); 0: not read from Redis */
};
void ledger_sums_init(struct ledger_sums *s);
void ledger_sums_clear(struct ledger_sums *s);
DEFINE_AUTO_CLEAR(ledger_sums)

/* What an archived event, or a refund that counts, adds on both sides. */
void ledger_sums_add_event(struct ledger_sums *s, const struct event *e);
void ledger_sums_add_refund(struct ledger_sums *s, const struct refund *r);
/* Adds a sentence for every name whose nanos or counts differ: which partition, which account or
 * model, what each of the two has. */
void ledger_sums_compare(struct ledger_sums *archive, struct ledger_sums *redis,
                         struct reasons *out);

#endif
