/* Time as text and as civil days: against the C library where it can do the same, and by hand where zones are odd. */
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

static const struct {
    int64_t nanos;
    const char *text;
} formatted[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {999999, "1970-01-01T00:00:00.000Z"},
    {1000000, "1970-01-01T00:00:00.001Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {INT64_C(951782400) * NANOS_PER_SECOND, "2000-02-29T00:00:00.000Z"},
    {INT64_C(1795344775) * NANOS_PER_SECOND + 123456789, "2026-11-22T10:52:55.123Z"},
    {INT64_MAX, "2262-04-11T23:47:16.854Z"},
    {INT64_MIN, "1677-09-21T00:12:43.145Z"},
};

START_TEST(times_are_written_in_utc_with_milliseconds)
{
    char text[CLOCK_TEXT];

    ck_assert_str_eq(clock_format(formatted[_i].nanos, text), formatted[_i].text);
}
END_TEST

START_TEST(random_times_are_written_as_the_c_library_does_and_read_back)
{
    for (int i = 0; i < 100000; i++) {
        int64_t nanos = (int64_t)rand_u64(), back = 0;
        int64_t ms = nanos / NANOS_PER_MS - (nanos % NANOS_PER_MS < 0);
        time_t seconds = ms / 1000 - (ms % 1000 < 0);
        char text[CLOCK_TEXT], expected[64];
        size_t n;
        struct tm tm;

        gmtime_r(&seconds, &tm);
        n = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(expected + n, sizeof expected - n, ".%03dZ", (int)(ms - seconds * 1000));
        if (strcmp(clock_format(nanos, text), expected) != 0)
            ck_abort_msg("%s is not %s", text, expected);
        if (ms == INT64_MIN / NANOS_PER_MS - 1)
            continue;
        if (!clock_parse(span_of(text), &back, NULL) || back != ms * NANOS_PER_MS)
            ck_abort_msg("%s is read as %lld", text, (long long)back);
    }
}
END_TEST

static const struct {
    const char *text;
    int64_t seconds, nanos;
} readable[] = {
    {"1970-01-01T00:00:00Z", 0, 0},
    {"1970-01-01t00:00:00z", 0, 0},
    {"1970-01-01T08:00:00+08:00", 0, 0},
    {"1969-12-31T19:30:00-04:30", 0, 0},
    {"1970-01-01T00:00:00-00:00", 0, 0},
    {"1970-01-01T00:00:01.5Z", 1, 500000000},
    {"1970-01-01T00:00:01.123456789Z", 1, 123456789},
    {"1969-12-31T23:59:59.9Z", -1, 900000000},
    {"2024-02-29T12:00:00Z", 1709208000, 0},
    {"2026-11-01T00:00:00+08:00", 1793462400, 0},
};

START_TEST(rfc_3339_is_read)
{
    int64_t nanos;
    struct err err;

    ck_assert_msg(clock_parse(span_of(readable[_i].text), &nanos, &err), "%s", readable[_i].text);
    ck_assert_int_eq(nanos, readable[_i].seconds * NANOS_PER_SECOND + readable[_i].nanos);
}
END_TEST

static const char *const unreadable[] = {
    "",
    "2026-11-22",
    "2026-11-22T10:52:55",
    "2026-11-22 10:52:55Z",
    "2026-11-22T10:52Z",
    "2026-11-22T10:52:55.Z",
    "2026-11-22T10:52:55.1234567890Z",
    "2026-11-22T10:52:55Zx",
    "2026-11-22T24:00:00Z",
    "2026-11-22T10:60:00Z",
    "2026-11-22T10:52:60Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-11-00T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2026-1-01T00:00:00Z",
    "+026-11-22T10:52:55Z",
    "2026-11-22T10:52:55+8:00",
    "2026-11-22T10:52:55+0800",
    "2026-11-22T10:52:55+24:00",
    "2026-11-22T10:52:55+08:60",
    "2026-11-22T10:52:55 +08:00",
    "1600-01-01T00:00:00Z",
    "2300-01-01T00:00:00Z",
};

START_TEST(other_times_are_refused_with_a_sentence)
{
    int64_t nanos = 5;
    struct err err;

    ck_assert_msg(!clock_parse(span_of(unreadable[_i]), &nanos, &err), "%s", unreadable[_i]);
    ck_assert_int_eq(nanos, 5);
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, unreadable[_i]));
}
END_TEST

START_TEST(the_offset_moves_wall_time_only)
{
    int64_t wall = clock_now(), monotonic = clock_monotonic();

    clock_set_offset(86400 * NANOS_PER_SECOND);
    ck_assert_int_eq(clock_offset(), 86400 * NANOS_PER_SECOND);
    ck_assert_int_ge(clock_now() - wall, 86400 * NANOS_PER_SECOND);
    ck_assert_int_lt(clock_now() - wall, 86460 * NANOS_PER_SECOND);
    ck_assert_int_lt(clock_monotonic() - monotonic, 60 * NANOS_PER_SECOND);
    ck_assert_int_ge(clock_monotonic(), monotonic);
    ck_assert_int_ge(clock_monotonic_ms(), monotonic / NANOS_PER_MS);
    clock_set_offset(-INT64_C(3600) * NANOS_PER_SECOND);
    ck_assert_int_lt(clock_now(), wall);
}
END_TEST

static const char *const not_zones[] = {
    "",         "Mars/Phobos", "/etc/localtime", "../zoneinfo/UTC", "Asia",
    "zone.tab", ":UTC",        "CST-8",          "asia/shanghai "};

START_TEST(unknown_zones_are_refused)
{
    struct err err;

    ck_assert(!clock_set_zone(not_zones[_i], &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

START_TEST(zones_are_looked_up_where_tzdir_says)
{
    struct err err;

    setenv("TZDIR", "/nonexistent", 1);
    ck_assert(!clock_set_zone("UTC", &err));
}
END_TEST

/* How the day begins, as an instant in UTC. */
static const struct {
    const char *zone;
    struct civil day;
    const char *start;
} starts[] = {
    {"Asia/Shanghai", {2026, 11, 1}, "2026-10-31T16:00:00.000Z"},
    {"Asia/Shanghai", {2026, 13, 1}, "2026-12-31T16:00:00.000Z"},
    {"Asia/Shanghai", {2026, 11, 31}, "2026-11-30T16:00:00.000Z"},
    {"Asia/Shanghai", {2026, 0, 1}, "2025-11-30T16:00:00.000Z"},
    {"UTC", {2024, 2, 30}, "2024-03-01T00:00:00.000Z"},
    {"America/New_York", {2026, 3, 8}, "2026-03-08T05:00:00.000Z"},
    {"America/New_York", {2026, 3, 9}, "2026-03-09T04:00:00.000Z"},
    {"America/Sao_Paulo", {2017, 10, 15}, "2017-10-15T03:00:00.000Z"}, /* 00:00 was skipped */
    {"America/Havana", {2023, 11, 5}, "2023-11-05T04:00:00.000Z"},     /* 00:00 came twice */
    {"Pacific/Apia", {2011, 12, 30}, "2011-12-30T10:00:00.000Z"},      /* the day never was */
    {"Pacific/Apia", {2011, 12, 31}, "2011-12-30T10:00:00.000Z"},
};

START_TEST(civil_days_begin_when_they_do)
{
    char text[CLOCK_TEXT];

    ck_assert(clock_set_zone(starts[_i].zone, NULL));
    ck_assert_str_eq(clock_format(clock_civil_start(starts[_i].day), text), starts[_i].start);
}
END_TEST

static const char *const zones[] = {"Asia/Shanghai",  "Europe/Berlin",      "America/St_Johns",
                                    "Asia/Kathmandu", "Pacific/Kiritimati", "UTC"};

START_TEST(the_instant_before_a_day_is_in_the_day_before)
{
    ck_assert(clock_set_zone(zones[_i], NULL));
    for (int i = 0; i < 300; i++) {
        struct civil day = {2012 + (int)rand_below(30), 1 + (int)rand_below(12),
                            1 + (int)rand_below(28)};
        int64_t start = clock_civil_start(day);
        struct civil first = clock_civil(start), last = clock_civil(start - 1);

        ck_assert(first.year == day.year && first.month == day.month && first.day == day.day);
        ck_assert(last.day != day.day);
        ck_assert_int_le(start -
                             clock_civil_start((struct civil){day.year, day.month, day.day - 1}),
                         25 * 3600 * NANOS_PER_SECOND);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("clock");

    tcase_add_loop_test(tcase, times_are_written_in_utc_with_milliseconds, 0, ARRAY_LEN(formatted));
    tcase_add_test(tcase, random_times_are_written_as_the_c_library_does_and_read_back);
    tcase_add_loop_test(tcase, rfc_3339_is_read, 0, ARRAY_LEN(readable));
    tcase_add_loop_test(tcase, other_times_are_refused_with_a_sentence, 0, ARRAY_LEN(unreadable));
    tcase_add_test(tcase, the_offset_moves_wall_time_only);
    tcase_add_loop_test(tcase, unknown_zones_are_refused, 0, ARRAY_LEN(not_zones));
    tcase_add_test(tcase, zones_are_looked_up_where_tzdir_says);
    tcase_add_loop_test(tcase, civil_days_begin_when_they_do, 0, ARRAY_LEN(starts));
    tcase_add_loop_test(tcase, the_instant_before_a_day_is_in_the_day_before, 0, ARRAY_LEN(zones));
    return run_tests(tcase, "clock");
}
