/* Days of places: against the C library, which reads the same tzdata with other code, and by hand where they are odd. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "tests/base/chance.h"
#include "tests/base/run.h"

#define LIST        "/usr/share/zoneinfo/zone.tab"
#define INSTANTS    400
#define LAST_SECOND INT64_C(4102444800) /* 2100 */
#define IRISH_LAST  INT64_C(2145916800) /* 2038: see zone.c */

static void expect_as_c_library(const struct zone *z, const char *name, int64_t seconds)
{
    struct civil here = zone_civil(z, seconds);
    time_t t = (time_t)seconds;
    struct tm tm;

    localtime_r(&t, &tm);
    if (here.year != tm.tm_year + 1900 || here.month != tm.tm_mon + 1 || here.day != tm.tm_mday)
        ck_abort_msg("%s at %lld: %d-%d-%d, not %d-%d-%d", name, (long long)seconds, here.year,
                     here.month, here.day, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void expect_starts(const struct zone *z, const char *name, int64_t seconds)
{
    struct civil day = zone_civil(z, seconds), next = day;
    int64_t start = zone_civil_start(z, day), end;

    next.day++;
    end = zone_civil_start(z, next);
    if (start > seconds || end <= start || zone_civil(z, start).day != day.day ||
        zone_civil(z, start - 1).day == day.day)
        ck_abort_msg("%s at %lld: its day is from %lld to %lld", name, (long long)seconds,
                     (long long)start, (long long)end);
}

static void expect_zone(const char *name)
{
    bool is_irish = strcmp(name, "Europe/Dublin") == 0;
    int64_t end = is_irish ? IRISH_LAST : LAST_SECOND;
    struct err err;
    AUTO(zone) z = zone_open(name, &err);

    ck_assert_msg(z, "%s", err.text);
    setenv("TZ", name, 1);
    tzset();
    for (int i = 0; i < INSTANTS; i++) {
        int64_t seconds = (int64_t)chance_below((uint64_t)end);

        expect_as_c_library(z, name, seconds);
        if (i % 20 == 0)
            expect_starts(z, name, seconds);
    }
}

/* Each line is country, place, name and a comment, parted by tabs. */
START_TEST(every_zone_has_the_days_that_the_c_library_gives_it)
{
    FILE *list = fopen(LIST, "r");
    char line[512], name[ZONE_TEXT];
    int count = 0;

    chance_begin();
    ck_assert_ptr_nonnull(list);
    while (fgets(line, sizeof line, list)) {
        if (line[0] == '#' || sscanf(line, "%*s %*s %63s", name) != 1)
            continue;
        expect_zone(name);
        count++;
    }
    fclose(list);
    ck_assert_int_gt(count, 300);
}
END_TEST

/* How the day begins, as an instant in UTC. */
static const struct {
    const char *zone;
    struct civil day;
    const char *start;
} starts[] = {
    {"Europe/Berlin", {2026, 3, 29}, "2026-03-28T23:00:00.000Z"}, /* of 23 hours */
    {"Europe/Berlin", {2026, 3, 30}, "2026-03-29T22:00:00.000Z"},
    {"Europe/Berlin", {2026, 10, 25}, "2026-10-24T22:00:00.000Z"}, /* of 25 */
    {"Europe/Berlin", {2026, 10, 26}, "2026-10-25T23:00:00.000Z"},
    {"Europe/Berlin", {2060, 7, 1}, "2060-06-30T22:00:00.000Z"}, /* beyond what tzdata lists */
    {"Europe/Berlin", {2060, 12, 1}, "2060-11-30T23:00:00.000Z"},
    {"America/New_York", {2026, 11, 1}, "2026-11-01T04:00:00.000Z"},
    {"America/New_York", {2026, 11, 2}, "2026-11-02T05:00:00.000Z"},
    {"America/Sao_Paulo", {2018, 11, 4}, "2018-11-04T03:00:00.000Z"}, /* 00:00 was skipped */
    {"Pacific/Apia", {2011, 12, 30}, "2011-12-30T10:00:00.000Z"},     /* the day never was */
    {"Pacific/Apia", {2011, 12, 31}, "2011-12-30T10:00:00.000Z"},
    {"Pacific/Kiritimati", {2026, 1, 1}, "2025-12-31T10:00:00.000Z"},
    {"Etc/GMT+12", {2026, 1, 1}, "2026-01-01T12:00:00.000Z"},
    {"Asia/Kathmandu", {2026, 1, 1}, "2025-12-31T18:15:00.000Z"},
    {"Asia/Shanghai", {2099, 13, 1}, "2099-12-31T16:00:00.000Z"},
};

START_TEST(odd_days_begin_when_they_do)
{
    AUTO(zone) z = zone_open(starts[_i].zone, NULL);
    int64_t start = zone_civil_start(z, starts[_i].day);
    char text[CLOCK_TEXT];

    ck_assert_str_eq(clock_format(start * NANOS_PER_SECOND, text), starts[_i].start);
    ck_assert(civil_is_before(zone_civil(z, start - 1), zone_civil(z, start)));
}
END_TEST

static const char *const no_zones[] = {"",
                                       "Mars/Phobos",
                                       "/etc/localtime",
                                       "../zoneinfo/UTC",
                                       "Asia",
                                       "zone.tab",
                                       ":UTC",
                                       "CST-8",
                                       "CST6CDT,M3.2.0",
                                       "asia/shanghai ",
                                       "localtime",
                                       "posixrules",
                                       "right/Europe/Berlin",
                                       "posix/UTC",
                                       "+08:00",
                                       "EST5EDT4",
                                       "UTC+8",
                                       "Europe/Berlin\n",
                                       "Factory",
                                       "Europe/Berlin=x"};

START_TEST(what_is_no_name_of_a_zone_is_refused_with_a_sentence)
{
    struct err err;

    ck_assert_ptr_null(zone_open(no_zones[_i], &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "not known to this machine"));
}
END_TEST

START_TEST(a_zone_that_is_asked_for_again_is_the_same)
{
    AUTO(zones) zones = zones_new();
    const struct zone *berlin, *tokyo, *again, *none;
    struct err err;

    ck_assert(zones_find(zones, "Europe/Berlin", &berlin, NULL));
    ck_assert(zones_find(zones, "Asia/Tokyo", &tokyo, NULL));
    ck_assert(zones_find(zones, "Europe/Berlin", &again, NULL));
    ck_assert(zones_find(zones, "", &none, NULL));
    ck_assert(berlin && tokyo && berlin != tokyo && again == berlin && !none);
    ck_assert(!zones_find(zones, "Europe/Atlantis", &none, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
}
END_TEST

START_TEST(dates_are_counted_there_and_back)
{
    for (int64_t days = -200000; days < 200000; days++) {
        struct civil date = civil_of_days(days);

        ck_assert_int_eq(civil_days(date), days);
        ck_assert(date.day >= 1 && date.day <= civil_days_in_month(date.year, date.month));
    }
    ck_assert_int_eq(civil_days((struct civil){2026, 13, 1}),
                     civil_days((struct civil){2027, 1, 1}));
    ck_assert_int_eq(civil_days((struct civil){2024, 2, 30}),
                     civil_days((struct civil){2024, 3, 1}));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("zone");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_zone_has_the_days_that_the_c_library_gives_it);
    tcase_add_loop_test(tcase, odd_days_begin_when_they_do, 0, ARRAY_LEN(starts));
    tcase_add_loop_test(tcase, what_is_no_name_of_a_zone_is_refused_with_a_sentence, 0,
                        ARRAY_LEN(no_zones));
    tcase_add_test(tcase, a_zone_that_is_asked_for_again_is_the_same);
    tcase_add_test(tcase, dates_are_counted_there_and_back);
    return run_tests(tcase, "zone");
}
