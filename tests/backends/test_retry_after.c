/* test_retry_after.c - what servers say, and what of it is believed. */
#include <check.h>
#include <stdlib.h>

#include "backends/retry_after.h"
#include "tests/base/run.h"

static int64_t asked(const char *seconds, const char *ms, const char *date)
{
    struct http_head head = {.status = 429};
    const char *const fields[][2] = {
        {"Retry-After", seconds}, {"retry-after-ms", ms}, {"Date", date}};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i][1])
            head.headers[head.header_count++] =
                (struct http_header){span_of(fields[i][0]), span_of(fields[i][1])};
    return retry_after_ms(&head);
}

START_TEST(seconds_milliseconds_and_dates_are_understood)
{
    ck_assert_int_eq(asked("7", NULL, NULL), 7000);
    ck_assert_int_eq(asked("7", "250", NULL), 250);
    ck_assert_int_eq(asked("Sun, 06 Nov 1994 08:49:37 GMT", NULL, "Sun, 06 Nov 1994 08:49:00 GMT"),
                     37000);
}
END_TEST

START_TEST(an_hour_is_the_most_and_the_past_is_nothing)
{
    ck_assert_int_eq(asked("86400", NULL, NULL), RETRY_AFTER_MS_MAX);
    ck_assert_int_eq(asked("Fri, 06 Nov 2099 08:49:37 GMT", NULL, NULL), RETRY_AFTER_MS_MAX);
    ck_assert_int_eq(asked("Sun, 06 Nov 1994 08:49:37 GMT", NULL, NULL), 0);
}
END_TEST

START_TEST(anything_else_asks_for_nothing)
{
    static const char *const values[] = {"",
                                         "-1",
                                         "1.5",
                                         "soon",
                                         "0x10",
                                         "7 s",
                                         "99999999999999999999",
                                         "Sun, 06 Nov 1994 08:49:37 GMT and more"};

    ck_assert_int_eq(asked(NULL, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        ck_assert_msg(asked(values[i], NULL, NULL) == 0, "'%s'", values[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("retry_after");

    tcase_add_test(t, seconds_milliseconds_and_dates_are_understood);
    tcase_add_test(t, an_hour_is_the_most_and_the_past_is_nothing);
    tcase_add_test(t, anything_else_asks_for_nothing);
    return run_tests(t, "retry_after");
}
