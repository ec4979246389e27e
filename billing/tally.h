/* tally.h - a period's events added up where they are split: by (model, currency, contract,
 * share, owners). */
#ifndef TOLLGATE_BILLING_TALLY_H
#define TOLLGATE_BILLING_TALLY_H

#include "billing/event.h"
#include "billing/sum_table.h"

struct party {
    char *name; /* event_parties() without a day: parties are ordered by it */
    char model[MODEL_TEXT];
    char contract[VERSION_TEXT];
    char currency[CURRENCY_TEXT];
    int64_t share_bp;
    size_t owner_count;
    struct owner *owners;
    int128 gross;
    int64_t calls;
};
struct tally {
    struct sum_table *index; /* name → which party, in `calls` */
    struct party *parties;
    size_t party_count, party_cap;
    struct sum_table *accounts;   /* "account currency" */
    struct sum_table *currencies; /* what all events come to */
    int64_t events;
};
void tally_init(struct tally *t);
void tally_clear(struct tally *t);
DEFINE_AUTO_CLEAR(tally)
void tally_add(struct tally *t, const struct event *e);
/* Orders parties, accounts and currencies by name. No event may be added afterwards. */
void tally_sort(struct tally *t);

#endif
