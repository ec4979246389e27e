/* spending.h - what an account spent, as scripts/spent.lua keeps it: under which names it stands in Redis. */
#ifndef TOLLGATE_BILLING_SPENDING_H
#define TOLLGATE_BILLING_SPENDING_H

#include "billing/event.h"

/* What a budget is for. */
enum window { WINDOW_DAY, WINDOW_MONTH, WINDOWS };
/* The first instant after the one that has `at`, in the zone of the account; null: in the platform's. */
int64_t window_end(const struct zone *zone, int64_t at, enum window window);

#define SPENT_TEXT (ID_TEXT + DAY_TEXT + CURRENCY_TEXT)
/* Behind "spent:", the account's sums of the month that has `day` ("2026-11-22", or "2026-11"), in one currency. */
const char *spent_month_name(const char *account, const char *day, const char *currency, char out[SPENT_TEXT]);
/* Likewise of the day. */
const char *spent_day_name(const char *account, const char *day, const char *currency, char out[SPENT_TEXT]);

#endif
