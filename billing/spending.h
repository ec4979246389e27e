/* spending.h - what an account spent, as scripts/spent.lua keeps it: under which names it stands in Redis. */
#ifndef TOLLGATE_BILLING_SPENDING_H
#define TOLLGATE_BILLING_SPENDING_H

#include "billing/event.h"

/* Behind "spent:", the account's sums of the month that has `day` ("2026-11-22", or "2026-11"), in one currency. */
#define SPENT_TEXT (ID_TEXT + PERIOD_TEXT + CURRENCY_TEXT)
const char *spent_name(const char *account, const char *day, const char *currency, char out[SPENT_TEXT]);

#endif
