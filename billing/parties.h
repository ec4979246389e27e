/* parties.h - who shares what of a model's sales, and by which terms: what is split together, and
 * what the sums of Redis and of the settlement go by. */
#ifndef TOLLGATE_BILLING_PARTIES_H
#define TOLLGATE_BILLING_PARTIES_H

#include "billing/refund.h"

struct parties { /* borrows */
    const char *model, *currency, *contract;
    int64_t share_bp;
    size_t owner_count;
    const struct owner *owners;
};
struct parties parties_of_event(const struct event *e);
struct parties parties_of_refund(const struct refund *r);

/* Holds any of the names. */
#define PARTIES_TEXT                                                           \
    (PERIOD_TEXT + MODEL_TEXT + DAY_TEXT + CURRENCY_TEXT + VERSION_TEXT + 24 + \
     OWNERS_MAX * (ID_TEXT + 24))
/* "model day currency contract share_bp owners", owners as id:weight,id:weight. */
const char *parties_name_of_day(const struct parties *p, const char *day, char out[PARTIES_TEXT]);
/* "period model currency contract share_bp owners". */
const char *parties_name_of_period(const struct parties *p, struct period period,
                                   char out[PARTIES_TEXT]);

#endif
