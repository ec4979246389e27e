/* Thresholds: exact, one id for one crossing, whoever sees it. */
#include <check.h>
#include <stdlib.h>

#include "billing/threshold.h"
#include "tests/base/run.h"

static struct crossing usual(void)
{
    return (struct crossing){.account = "acme",
                             .period = "2026-11-22",
                             .percent = 80,
                             .budget = INT64_C(10000000000),
                             .spent = INT64_C(8000000000),
                             .currency = "CNY"};
}

START_TEST(a_threshold_is_reached_to_the_nano)
{
    ck_assert(threshold_is_reached(80, 100, 80));
    ck_assert(!threshold_is_reached(79, 100, 80));
    ck_assert(threshold_is_reached(INT64_MAX, INT64_MAX, 100));
    ck_assert(!threshold_is_reached(INT64_MAX - 1, INT64_MAX, 100));
    ck_assert(!threshold_is_reached(INT64_MAX / 100 * 95, INT64_MAX, 95));
    ck_assert(threshold_is_reached(INT64_MAX / 100 * 95 + 95, INT64_MAX, 95));
    ck_assert(threshold_is_reached(1, 1, 95));
    ck_assert(!threshold_is_reached(0, 1, 80));
}
END_TEST

static void id_of(const struct crossing *c, const char *installation, char id[NOTICE_ID_TEXT])
{
    crossing_id(c, installation, id);
    ck_assert_int_eq(strlen(id), NOTICE_ID_TEXT - 1);
    ck_assert_int_eq(strncmp(id, "msg_", 4), 0);
}

START_TEST(the_same_crossing_has_the_same_id_whatever_is_spent_by_then)
{
    struct crossing a = usual(), b = usual();
    char first[NOTICE_ID_TEXT], second[NOTICE_ID_TEXT];

    b.spent += 12345;
    id_of(&a, "in-1", first);
    id_of(&b, "in-1", second);
    ck_assert_str_eq(first, second);
}
END_TEST

START_TEST(whatever_makes_it_another_crossing_makes_another_id)
{
    struct crossing all[9];
    char ids[ARRAY_LEN(all)][NOTICE_ID_TEXT];

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i] = usual();
    all[1].account = "acm";
    all[2].key = "17key0000000";
    all[3].period = "2026-11";
    all[4].percent = 95;
    all[5].budget++;
    all[6].currency = "USD";
    all[7].model = "17key0000000";
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        id_of(&all[i], i == 8 ? "in-2" : "in-1", ids[i]);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(ids[i], ids[k]);
}
END_TEST

START_TEST(a_notice_says_what_was_crossed)
{
    AUTO_CLEAR(buf) out = {.max = 4096};
    struct crossing c = usual();

    crossing_write(&c, 0, &out);
    ck_assert_str_eq(
        out.data,
        "{\"type\":\"budget.threshold_reached\",\"timestamp\":\"1970-01-01T00:00:00.000Z\","
        "\"data\":{"
        "\"account\":\"acme\",\"scope\":\"account\",\"window\":\"day\",\"period\":\"2026-11-22\","
        "\"threshold\":80,\"budget\":\"10\",\"spent\":\"8\",\"currency\":\"CNY\"}}");
    buf_truncate(&out, 0);
    c.key = "17key0000000";
    c.period = "2026-11";
    crossing_write(&c, 0, &out);
    ck_assert_ptr_nonnull(strstr(out.data, "\"scope\":\"key\",\"key\":\"17key0000000\","
                                           "\"window\":\"month\",\"period\":\"2026-11\""));
}
END_TEST

START_TEST(an_entry_is_read_as_redis_has_it)
{
    static const char *const bad[] = {"",         "5",          "5 w-a",     "5 w-a 7",
                                      "5 w-a 7 ", "x w-a 7 {}", "5 w-a x {}"};
    struct first_entry e;

    ck_assert(first_entry_read(SPAN("5 w-aaaaaaaaaaaaaaaa 7 {\"a\":\"b c\"}"), &e));
    ck_assert_int_eq(e.at, 5);
    ck_assert_int_eq(e.n, 7);
    ck_assert(span_equal(e.body, SPAN("{\"a\":\"b c\"}")));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!first_entry_read(span_of(bad[i]), &e), "'%s'", bad[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("threshold");

    tcase_add_test(t, a_threshold_is_reached_to_the_nano);
    tcase_add_test(t, the_same_crossing_has_the_same_id_whatever_is_spent_by_then);
    tcase_add_test(t, whatever_makes_it_another_crossing_makes_another_id);
    tcase_add_test(t, a_notice_says_what_was_crossed);
    tcase_add_test(t, an_entry_is_read_as_redis_has_it);
    return run_tests(t, "threshold");
}
