/* civil.h - days of the Gregorian calendar, as arithmetic: no zone, no clock. */
#ifndef TOLLGATE_BASE_CIVIL_H
#define TOLLGATE_BASE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

#define SECONDS_PER_DAY INT64_C(86400)

struct civil {
    int year, month, day; /* 2026, 1..12, 1..31 */
};

/* Days since 1970-01-01. Month and day may overflow: 13 is next January, 31 November is 1 December. */
int64_t civil_days(struct civil date);
struct civil civil_of_days(int64_t days);
bool civil_is_before(struct civil a, struct civil b);
/* 1 to 12. */
int civil_days_in_month(int year, int month);
/* Rounded down, also below 0. */
int64_t floor_div(int64_t a, int64_t b);

#endif
