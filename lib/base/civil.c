/* civil.c - days_from_civil and its inverse: H. Hinnant, "chrono-compatible low-level date algorithms". Years begin in
 * March here, so that the leap day is the last of its year. */
#include "lib/base/civil.h"

#include <stddef.h>

#define DAYS_PER_ERA      INT64_C(146097) /* 400 years */
#define EPOCH_FROM_MARCH0 INT64_C(719468) /* 1970-01-01, counted from 0000-03-01 */

static int64_t days_of_first(int64_t year, int64_t month);

int64_t civil_days(struct civil date)
{
    int64_t month = (int64_t)date.year * 12 + date.month - 1;
    int64_t year = floor_div(month, 12);

    return days_of_first(year, month - year * 12 + 1) + date.day - 1;
}

static int64_t days_of_first(int64_t year, int64_t month)
{
    int64_t shifted = year - (month <= 2);
    int64_t era = floor_div(shifted, 400);
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - EPOCH_FROM_MARCH0;
}

struct civil civil_of_days(int64_t days)
{
    int64_t shifted = days + EPOCH_FROM_MARCH0;
    int64_t era = floor_div(shifted, DAYS_PER_ERA);
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil date = {
        .year = (int)(year_of_era + era * 400 + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };

    return date;
}

bool civil_is_before(struct civil a, struct civil b)
{
    if (a.year != b.year)
        return a.year < b.year;
    if (a.month != b.month)
        return a.month < b.month;
    return a.day < b.day;
}

int civil_days_in_month(int year, int month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
