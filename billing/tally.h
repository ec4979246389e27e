/* tally.h - a period's events and refunds added up where they are split: by (period of the calls,
 * model, currency, contract, share, owners). */
#ifndef TOLLGATE_BILLING_TALLY_H
#define TOLLGATE_BILLING_TALLY_H

#include "billing/parties.h"
#include "billing/sum_table.h"

struct party {
    char *name; /* parties_name_of_period(): parties are ordered by it */
    struct period
        orig_period; /* whose split it is: the period itself, or an earlier one restated */
    char model[MODEL_TEXT];
    char contract[VERSION_TEXT];
    char currency[CURRENCY_TEXT];
    int64_t share_bp;
    size_t owner_count;
    struct owner *owners;
    int128 gross, refunds; /* of this period's events; of this period's refunds */
    int64_t calls;
};
struct tally {
    struct sum_table *index; /* name → which party, in `calls` */
    struct party *parties;
    size_t party_count, party_cap;
    struct sum_table *accounts, *account_refunds; /* "account currency" */
    struct sum_table *currencies, *currency_refunds;
    int64_t events, refunds;
};
void tally_init(struct tally *t);
void tally_clear(struct tally *t);
DEFINE_AUTO_CLEAR(tally)
void tally_add(struct tally *t, const struct event *e);
void tally_add_refund(struct tally *t, const struct refund *r);
/* Orders parties, accounts and currencies by name. Nothing may be added afterwards. */
void tally_sort(struct tally *t);

#endif
