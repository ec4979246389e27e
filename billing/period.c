/* period.c - months as text, whose order is that of time. The zone's rules are lib/base/clock's. */
#include "billing/period.h"

#include "lib/base/text.h"

#define NANOS_PER_MINUTE (60 * NANOS_PER_SECOND)
#define YEAR_MIN         1970
#define YEAR_MAX         2261 /* the last whole year that int64 nanoseconds hold */

static void put_number(char *at, unsigned digits, int value);
static struct civil first_day(struct period p);

struct period period_of(int64_t nanos)
{
    struct civil day = clock_civil(nanos);
    struct period p = {"0000-00"};

    put_number(p.text, 4, day.year);
    put_number(p.text + 5, 2, day.month);
    return p;
}

bool period_parse(struct span text, struct period *out, struct err *err)
{
    struct span shown = {text.data ? text.data : "", text.len < 20 ? text.len : 20};
    uint64_t year = 0, month = 0;

    if (text.len != PERIOD_TEXT - 1 || text.data[4] != '-' ||
        !digits_parse((struct span){text.data, 4}, YEAR_MAX, &year) || year < YEAR_MIN ||
        !digits_parse((struct span){text.data + 5, 2}, 12, &month) || month < 1)
        return err_set(err, ERR_INPUT, "\"%.*s\" is not a period such as 2026-11", SPAN_FMT(shown));
    return span_copy(text, out->text, sizeof out->text);
}

int64_t period_start(struct period p)
{
    return clock_civil_start(first_day(p));
}

int64_t period_end(struct period p)
{
    struct civil day = first_day(p);

    day.month++;
    return clock_civil_start(day);
}

struct period period_next(struct period p)
{
    struct civil day = first_day(p);

    put_number(p.text, 4, day.year + (day.month == 12));
    put_number(p.text + 5, 2, day.month % 12 + 1);
    return p;
}

static struct civil first_day(struct period p)
{
    int year = 0;

    for (size_t i = 0; i < 4; i++)
        year = year * 10 + (p.text[i] - '0');
    return (struct civil){year, (p.text[5] - '0') * 10 + (p.text[6] - '0'), 1};
}

int period_compare(struct period a, struct period b)
{
    return strcmp(a.text, b.text);
}

const char *day_of(int64_t nanos, char out[DAY_TEXT])
{
    return day_in(NULL, nanos, out);
}

const char *day_in(const struct zone *zone, int64_t nanos, char out[DAY_TEXT])
{
    struct civil day =
        zone ? zone_civil(zone, floor_div(nanos, NANOS_PER_SECOND)) : clock_civil(nanos);

    memcpy(out, "0000-00-00", DAY_TEXT);
    put_number(out, 4, day.year);
    put_number(out + 5, 2, day.month);
    put_number(out + 8, 2, day.day);
    return out;
}

bool day_parse(struct span text, struct civil *out)
{
    uint64_t year = 0, month = 0, day = 0;

    if (text.len != DAY_TEXT - 1 || text.data[4] != '-' || text.data[7] != '-' ||
        !digits_parse((struct span){text.data, 4}, YEAR_MAX, &year) || year < YEAR_MIN ||
        !digits_parse((struct span){text.data + 5, 2}, 12, &month) || month < 1 ||
        !digits_parse((struct span){text.data + 8, 2}, 31, &day) || day < 1 ||
        (int)day > civil_days_in_month((int)year, (int)month))
        return false;
    *out = (struct civil){(int)year, (int)month, (int)day};
    return true;
}

const char *known_day_of(struct known_day *known, int64_t nanos)
{
    int64_t in_minute = nanos % NANOS_PER_MINUTE;
    int64_t minute = nanos - in_minute - (in_minute < 0 ? NANOS_PER_MINUTE : 0);

    if (minute != known->minute || !known->text[0])
        day_of(nanos, known->text);
    known->minute = minute;
    return known->text;
}

static void put_number(char *at, unsigned digits, int value)
{
    while (digits-- > 0) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}
