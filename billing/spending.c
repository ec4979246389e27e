/* spending.c - names of sums. */
#include "billing/spending.h"

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
    struct buf text = {.data = out, .cap = SPENT_TEXT, .max = SPENT_TEXT - 1};

    buf_add_string(&text, account);
    buf_add_char(&text, ':');
    buf_add_span(&text, window);
    buf_add_char(&text, ':');
    buf_add_string(&text, currency);
    return out;
}

int64_t window_end(const struct zone *zone, int64_t at, enum window window)
{
    struct civil day = zone ? zone_civil(zone, floor_div(at, NANOS_PER_SECOND)) : clock_civil(at);

    if (window == WINDOW_MONTH)
        day = (struct civil){day.year, day.month + 1, 1};
    else
        day.day++;
    return zone ? zone_civil_start(zone, day) * NANOS_PER_SECOND : clock_civil_start(day);
}
