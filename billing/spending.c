/* spending.c - names of sums. */
#include "billing/spending.h"

#include <stdio.h>

#include "lib/base/clock.h"

static const char *name(const char *account, struct span window, const char *currency,
                        char out[SPENT_TEXT]);

const char *spent_month_name(const char *account, const char *day, const char *currency,
                             char out[SPENT_TEXT])
{
    return name(account, (struct span){day, PERIOD_TEXT - 1}, currency, out);
}

const char *spent_day_name(const char *account, const char *day, const char *currency,
                           char out[SPENT_TEXT])
{
    return name(account, (struct span){day, DAY_TEXT - 1}, currency, out);
}

static const char *name(const char *account, struct span window, const char *currency,
                        char out[SPENT_TEXT])
{
    snprintf(out, SPENT_TEXT, "%s:%.*s:%s", account, SPAN_FMT(window), currency);
    return out;
}

int64_t window_end(int64_t at, enum window window)
{
    struct civil day = clock_civil(at);

    day.day++;
    return window == WINDOW_MONTH ? period_end(period_of(at)) : clock_civil_start(day);
}
