/* Periods and days in the platform's zone, also where clocks are changed and days are skipped. */
#include <check.h>
#include <stdlib.h>

#include "billing/spending.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 2000

static const char *const zones[] = {
    "Asia/Shanghai",     "UTC",           "America/New_York", "Pacific/Apia", "Australia/Lord_Howe",
    "America/Sao_Paulo", "Asia/Kathmandu"};

static void in_zone(const char *zone)
{
    struct err err;

    ck_assert_msg(clock_set_zone(zone, &err), "%s", err.text);
}

static int64_t at(const char *text)
{
    int64_t nanos;

    ck_assert(clock_parse(span_of(text), &nanos, NULL));
    return nanos;
}

static struct period period(const char *text)
{
    struct period p;

    ck_assert(period_parse(span_of(text), &p, NULL));
    return p;
}

START_TEST(a_period_begins_at_midnight_in_the_platforms_zone)
{
    char day[DAY_TEXT];

    in_zone("Asia/Shanghai");
    ck_assert_str_eq(period_of(at("2026-10-31T15:59:59.999Z")).text, "2026-10");
    ck_assert_str_eq(period_of(at("2026-10-31T16:00:00Z")).text, "2026-11");
    ck_assert_int_eq(period_start(period("2026-11")), at("2026-11-01T00:00:00+08:00"));
    ck_assert_int_eq(period_end(period("2026-11")), at("2026-12-01T00:00:00+08:00"));
    ck_assert_str_eq(day_of(at("2026-11-22T15:59:59Z"), day), "2026-11-22");
    ck_assert_str_eq(day_of(at("2026-11-22T16:00:00Z"), day), "2026-11-23");
    ck_assert_str_eq(day_of(at("2027-01-01T00:00:00+08:00"), day), "2027-01-01");
}
END_TEST

START_TEST(another_zone_has_other_bounds)
{
    in_zone("America/New_York");
    ck_assert_int_eq(period_start(period("2026-11")), at("2026-11-01T00:00:00-04:00"));
    ck_assert_int_eq(period_end(period("2026-11")), at("2026-12-01T00:00:00-05:00"));
    in_zone("UTC");
    ck_assert_int_eq(period_start(period("1970-01")), 0);
}
END_TEST

/* Samoa went from the 29th to the 31st; a month that would begin on a day which never was begins
 * with the next. */
START_TEST(a_skipped_day_belongs_to_no_period)
{
    char day[DAY_TEXT];

    in_zone("Pacific/Apia");
    ck_assert_str_eq(day_of(at("2011-12-30T09:59:59Z"), day), "2011-12-29");
    ck_assert_str_eq(day_of(at("2011-12-30T10:00:00Z"), day), "2011-12-31");
    ck_assert_int_eq(period_end(period("2011-12")), at("2012-01-01T00:00:00+14:00"));
}
END_TEST

START_TEST(every_instant_lies_in_its_own_period_and_in_no_other)
{
    in_zone(zones[_i]);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t t = (int64_t)rand_below(UINT64_C(4000000000)) * NANOS_PER_SECOND;
        struct period p = period_of(t);

        ck_assert_int_le(period_start(p), t);
        ck_assert_int_gt(period_end(p), t);
        ck_assert_str_eq(period_of(period_start(p)).text, p.text);
        ck_assert_str_eq(period_of(period_end(p) - 1).text, p.text);
        ck_assert_str_eq(period_of(period_end(p)).text, period_next(p).text);
    }
}
END_TEST

START_TEST(a_known_day_is_the_day_of_every_instant)
{
    struct known_day known = {0};
    int64_t t = 0;
    char day[DAY_TEXT];

    in_zone(zones[_i]);
    ck_assert_str_eq(known_day_of(&known, -1), day_of(-1, day));
    for (int round = 0; round < ROUNDS; round++) {
        t = round % 3 ? t + (int64_t)rand_below(UINT64_C(40000000000))
                      : (int64_t)rand_below(UINT64_C(4000000000)) * NANOS_PER_SECOND;
        ck_assert_str_eq(known_day_of(&known, t), day_of(t, day));
    }
    t = period_end(period_of(t));
    ck_assert_str_eq(known_day_of(&known, t - 1), day_of(t - 1, day));
    ck_assert_str_eq(known_day_of(&known, t), day_of(t, day));
    ck_assert_str_eq(known_day_of(&known, t - 1), day_of(t - 1, day));
}
END_TEST

START_TEST(periods_follow_each_other_without_gaps)
{
    struct period p = period("1970-01");
    size_t months = 0;

    in_zone(zones[_i]);
    for (; period_compare(p, period("2261-12")) < 0; months++) {
        struct period next = period_next(p);

        ck_assert_int_lt(period_compare(p, next), 0);
        ck_assert_int_gt(period_compare(next, p), 0);
        if (months % 37 == 0)
            ck_assert_int_eq(period_end(p), period_start(next));
        ck_assert_str_eq(period(next.text).text, next.text);
        p = next;
    }
    ck_assert_uint_eq(months, (2261 - 1970) * 12 + 11);
    ck_assert_int_eq(period_compare(p, p), 0);
}
END_TEST

START_TEST(only_a_date_that_there_is_is_a_day)
{
    static const char *const wrong[] = {"",           "2026-11",     "2026-11-1",  "2026-11-31",
                                        "2026-02-29", "2026-00-10",  "2026-13-01", "2026-11-00",
                                        "2026/11/22", "2026-11-220", "1969-12-31", "2026-11-2x"};
    struct civil day = {0};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(!day_parse(span_of(wrong[i]), &day), "\"%s\"", wrong[i]);
    ck_assert(day_parse(SPAN("2028-02-29"), &day));
    ck_assert(day.year == 2028 && day.month == 2 && day.day == 29);
}
END_TEST

START_TEST(windows_of_an_account_end_in_its_zone)
{
    static const struct {
        const char *zone, *at, *day, *day_end, *month_end;
    } rows[] = {
        {NULL, "2026-11-30T17:00:00Z", "2026-12-01", "2026-12-01T16:00:00.000Z",
         "2026-12-31T16:00:00.000Z"},
        {"Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T22:00:00.000Z",
         "2026-03-31T22:00:00.000Z"},
        {"America/New_York", "2026-11-01T03:59:59Z", "2026-10-31", "2026-11-01T04:00:00.000Z",
         "2026-11-01T04:00:00.000Z"},
        {"America/New_York", "2026-11-01T04:00:00Z", "2026-11-01", "2026-11-02T05:00:00.000Z",
         "2026-12-01T05:00:00.000Z"},
    };

    in_zone("Asia/Shanghai");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(zone) zone = rows[i].zone ? zone_open(rows[i].zone, NULL) : NULL;
        char day[DAY_TEXT], text[CLOCK_TEXT];
        int64_t at;

        ck_assert(clock_parse(span_of(rows[i].at), &at, NULL));
        ck_assert_str_eq(day_in(zone, at, day), rows[i].day);
        ck_assert_str_eq(clock_format(window_end(zone, at, WINDOW_DAY), text), rows[i].day_end);
        ck_assert_str_eq(clock_format(window_end(zone, at, WINDOW_MONTH), text), rows[i].month_end);
    }
}
END_TEST

START_TEST(only_a_year_and_a_month_are_a_period)
{
    static const char *const wrong[] = {
        "",         "2026",       "2026-",   "2026-1",  "2026-13", "2026-00",
        "2026-011", "2026-11-01", "26-11",   "2026/11", "2026-1 ", " 026-11",
        "-026-11",  "2026-+1",    "2O26-11", "1969-12", "2262-01", "9999-12",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct period p = {"unset"};
        struct err err = {0};

        ck_assert_msg(!period_parse(span_of(wrong[i]), &p, &err), "\"%s\"", wrong[i]);
        ck_assert_int_eq(err.code, ERR_INPUT);
        ck_assert_ptr_nonnull(strstr(err.text, "is not a period"));
        ck_assert_str_eq(p.text, "unset");
    }
    ck_assert_str_eq(period("1970-01").text, "1970-01");
    ck_assert_str_eq(period("2261-12").text, "2261-12");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("period");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_period_begins_at_midnight_in_the_platforms_zone);
    tcase_add_test(tcase, another_zone_has_other_bounds);
    tcase_add_test(tcase, a_skipped_day_belongs_to_no_period);
    tcase_add_loop_test(tcase, every_instant_lies_in_its_own_period_and_in_no_other, 0,
                        ARRAY_LEN(zones));
    tcase_add_loop_test(tcase, a_known_day_is_the_day_of_every_instant, 0, ARRAY_LEN(zones));
    tcase_add_test(tcase, only_a_date_that_there_is_is_a_day);
    tcase_add_test(tcase, windows_of_an_account_end_in_its_zone);
    tcase_add_loop_test(tcase, periods_follow_each_other_without_gaps, 0, ARRAY_LEN(zones));
    tcase_add_test(tcase, only_a_year_and_a_month_are_a_period);
    return run_tests(tcase, "period");
}
