/* ledger_sums.h - what one period adds up to by account and by model: as Redis has it, and as the
 * archive has it. Settlement closes only when they are the same to the nano. */
#ifndef TOLLGATE_BILLING_LEDGER_SUMS_H
#define TOLLGATE_BILLING_LEDGER_SUMS_H

#include "billing/event.h"
#include "billing/partition.h"
#include "billing/reasons.h"
#include "billing/sum_table.h"

struct ledger_sums {
    /* Account side: "account currency". Model side: "model day currency contract share_bp
     * owners", owners as id:weight,id:weight. As the hashes debits:<period> and gross:<period>
     * spell them. */
    struct sum_table *side[SIDES];
    struct reasons suspense; /* what could not be booked: where, which, why */
    int64_t redis_time; /* of the server's clock, plus clock_offset(); 0: not read from Redis */
};
void ledger_sums_init(struct ledger_sums *s);
void ledger_sums_clear(struct ledger_sums *s);
DEFINE_AUTO_CLEAR(ledger_sums)

/* What an archived event adds on both sides. */
void ledger_sums_add_event(struct ledger_sums *s, const struct event *e);
/* Adds a sentence for every name whose nanos or calls differ: which partition, which account or
 * model, what each of the two has. */
void ledger_sums_compare(struct ledger_sums *archive, struct ledger_sums *redis,
                         struct reasons *out);

/* "model currency contract share_bp owners", with the day behind the model unless it is null. */
#define PARTIES_TEXT \
    (MODEL_TEXT + DAY_TEXT + CURRENCY_TEXT + VERSION_TEXT + 24 + OWNERS_MAX * (ID_TEXT + 24))
const char *event_parties(const struct event *e, const char *day, char out[PARTIES_TEXT]);

#endif
