/* spending_read.h - where an account and one of its keys stand in the day and month that run: what is spent, and what their
 * open calls may cost at most. Together they are what budgets are held against (scripts/budget.lua). */
#ifndef TOLLGATE_BILLING_SPENDING_READ_H
#define TOLLGATE_BILLING_SPENDING_READ_H

#include "billing/spending.h"
#include "lib/net/redis.h"

enum spender { SPENDER_ACCOUNT, SPENDER_KEY, SPENDERS };
struct spending_sum {
    int64_t spent, held; /* nanos */
};
struct spending {
    struct spending_sum of[SPENDERS][WINDOWS];
};
struct spending_ask {
    const char *account, *first_key, *currency;
    const char *day; /* "2026-11-22" */
};
/* Copies what is asked. */
typedef void spending_on_read(void *arg, const struct spending *spending, const struct err *err);
void spending_read(struct redis *redis, const struct spending_ask *ask, spending_on_read *on_read,
                   void *arg);

#endif
