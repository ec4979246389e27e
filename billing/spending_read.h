/* spending_read.h - where spenders of an account stand in the day and month that run: what is spent, and what open calls
 * may cost at most. Together they are what budgets are held against (scripts/budget.lua). */
#ifndef TOLLGATE_BILLING_SPENDING_READ_H
#define TOLLGATE_BILLING_SPENDING_READ_H

#include "billing/spending.h"
#include "lib/net/redis.h"

/* Whose calls are added up: all, those of one key, those of one model. */
enum spender_kind { SPENDER_ACCOUNT, SPENDER_KEY, SPENDER_MODEL };
struct spender {
    enum spender_kind kind;
    char name[MODEL_TEXT]; /* KEY: the first of its rotations; MODEL: its id; else "" */
};
struct spending_sum {
    int64_t spent, held; /* nanos */
};
struct spending {
    struct spending_sum of[WINDOWS];
};
struct spending_ask {
    const char *account, *currency;
    const char *day;                /* "2026-11-22" */
    const struct spender *spenders; /* one at least */
    size_t count;
};
/* As many, in the order of the spenders; good during the callback. */
typedef void spending_on_read(void *arg, const struct spending *spending, const struct err *err);
/* Copies what is asked. The answer comes never inside the call. */
void spending_read(struct redis *redis, const struct spending_ask *ask, spending_on_read *on_read,
                   void *arg);

#endif
