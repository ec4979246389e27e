/* threshold.h - soft limits: how much of a budget is spent when its account is told, and what it is told.
 *
 * {"type":"budget.threshold_reached","timestamp":"…","data":{"account","scope":"account"|"key"|"model","key"?,"model"?,"window":"day"|"month",
 * "period":"2026-11-22"|"2026-11","threshold":80,"budget","spent","currency"}}, amounts being decimal strings. */
#ifndef TOLLGATE_BILLING_THRESHOLD_H
#define TOLLGATE_BILLING_THRESHOLD_H

#include "billing/event.h"
#include "billing/webhook_record.h"

#define THRESHOLDS 3
extern const unsigned threshold_percents[THRESHOLDS]; /* rising */

/* `spent` is at least so many hundredths of `budget`, which is more than 0. Exact. */
bool threshold_is_reached(int64_t spent, int64_t budget, unsigned percent);

struct crossing {
    const char *account;
    const char *key;    /* public id; null: not a key's budget */
    const char *model;  /* null: not the account's for one model */
    const char *period; /* a day, or a month */
    unsigned percent;
    int64_t budget, spent; /* nanos */
    const char *currency;
};
/* The same for whoever sees it: made of installation, account, key, model, period, percent, budget and currency. What is spent by
 * then makes no difference. */
void crossing_id(const struct crossing *c, const char *installation, char out[NOTICE_ID_TEXT]);
void crossing_write(const struct crossing *c, int64_t at, struct buf *out);

#endif
