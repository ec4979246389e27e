/* offline.h - what postpaid accounts may spend while Redis is away.
 *
 * One per worker. It remembers what Redis last said of each account, and lets a postpaid one go on within its allowance, an amount in its
 * own currency for each outage: the most that its calls can cost, less what they turned out not to cost. It also never takes more than was
 * free of the credit when Redis last told this worker; others don't know of it, so together they may. What is older than `age_ms` counts as unknown, and unknown and prepaid accounts may not go on.
 * So overspend is at most the allowance for each such account, worker and outage. Rates and concurrency are not counted meanwhile. */
#ifndef TOLLGATE_BILLING_OFFLINE_H
#define TOLLGATE_BILLING_OFFLINE_H

#include "billing/money.h"
#include "lib/base/attr.h"
#include "lib/base/zone.h"

struct offline;
struct offline_config {
    int64_t allowance_nanos; /* 0: nobody goes on */
    int64_t age_ms;
};
struct offline *offline_new(const struct offline_config *config) MUST_USE;
void offline_free(struct offline *o);
DEFINE_AUTO(offline)

/* Redis said this just now. `room`: what is free of the account's credit, in its currency. */
void offline_learn(struct offline *o, const char *account, bool is_postpaid, const struct money *room);
/* Likewise of an account that was learned: its zone, "" being the platform's. */
void offline_learn_zone(struct offline *o, const char *account, const char *zone);
/* What was learned last, or ""; good until something is learned. */
const char *offline_zone(struct offline *o, const char *account);

/* Takes the most that a call can cost. Which outage it was, for offline_settle(); 0: refused, and nothing was taken. */
uint64_t offline_take(struct offline *o, const char *account, const struct money *most) MUST_USE;
/* The call has ended and cost `charged` instead of `most`; nothing happens when that outage is over. */
void offline_settle(struct offline *o, uint64_t outage, const char *account, int64_t most, int64_t charged);

/* How often something was taken in this outage: 0 when there is none. */
uint64_t offline_taken(const struct offline *o);
/* Redis has all that was spent: the next outage begins with whole allowances. */
void offline_end(struct offline *o);

#endif
