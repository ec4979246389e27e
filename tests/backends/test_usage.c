/* test_usage.c - names, and the taking apart of a provider's totals. */
#include <check.h>
#include <stdlib.h>

#include "backends/openai_usage.h"
#include "backends/usage.h"
#include "tests/base/run.h"

static struct openai_counts counts_of(int64_t prompt, int64_t cached, int64_t audio)
{
    struct openai_counts c = {0};
    const int64_t n[] = {prompt, cached, audio};
    static const enum openai_count which[] = {OPENAI_PROMPT, OPENAI_CACHED, OPENAI_AUDIO_IN};

    for (size_t i = 0; i < 3; i++) {
        c.count[which[i]].stated = true;
        c.count[which[i]].n = n[i];
    }
    return c;
}

static struct openai_counts counts_in(const char *json)
{
    static const char *const paths[] = {OPENAI_USAGE_PATHS};
    AUTO(jscan) scanner = jscan_new(paths, ARRAY_LEN(paths));
    struct openai_counts c = {0};
    struct err err;

    ck_assert_int_eq(jscan_feed(scanner, json, strlen(json), &err), JSCAN_DONE);
    ck_assert(openai_counts_read(scanner, &c));
    return c;
}

START_TEST(every_bucket_has_the_name_of_a_unit)
{
    ck_assert_str_eq(usage_bucket_name(USAGE_INPUT), "input_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_CACHED_INPUT), "cached_input_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_CACHE_WRITE), "cache_write_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_AUDIO_INPUT), "audio_input_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_OUTPUT), "output_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_REASONING), "reasoning_tokens");
    ck_assert_str_eq(usage_bucket_name(USAGE_AUDIO_OUTPUT), "audio_output_tokens");
}
END_TEST

START_TEST(a_value_that_is_set_keeps_its_source)
{
    struct usage u = {0};

    usage_set(&u, USAGE_OUTPUT, 0, USAGE_UPSTREAM);
    ck_assert_int_eq(u.bucket[USAGE_OUTPUT].n, 0);
    ck_assert_int_eq(u.bucket[USAGE_OUTPUT].source, USAGE_UPSTREAM);
    ck_assert_int_eq(u.bucket[USAGE_INPUT].source, USAGE_MISSING);
}
END_TEST

START_TEST(buckets_are_disjoint_and_add_up_to_the_stated_total)
{
    struct openai_counts c =
        counts_in("{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,"
                  "\"prompt_tokens_details\":{\"cached_tokens\":60,\"audio_tokens\":10},"
                  "\"completion_tokens_details\":{\"reasoning_tokens\":20,\"audio_tokens\":5}}}");
    struct usage u = {0};
    static const int64_t want[USAGE_BUCKETS] = {
        [USAGE_INPUT] = 30,  [USAGE_CACHED_INPUT] = 60, [USAGE_AUDIO_INPUT] = 10,
        [USAGE_OUTPUT] = 25, [USAGE_REASONING] = 20,    [USAGE_AUDIO_OUTPUT] = 5};

    ck_assert(openai_counts_to_usage(&c, &u));
    for (size_t i = 0; i < USAGE_BUCKETS; i++) {
        ck_assert_int_eq(u.bucket[i].n, want[i]);
        ck_assert_int_eq(u.bucket[i].source,
                         i == USAGE_CACHE_WRITE ? USAGE_MISSING : USAGE_UPSTREAM);
    }
}
END_TEST

START_TEST(what_is_not_stated_stays_missing)
{
    struct openai_counts c =
        counts_in("{\"usage\":{\"completion_tokens\":0,\"prompt_tokens_details\":null}}");
    struct usage u = {0};

    ck_assert(openai_counts_to_usage(&c, &u));
    ck_assert_int_eq(u.bucket[USAGE_INPUT].source, USAGE_MISSING);
    ck_assert_int_eq(u.bucket[USAGE_CACHED_INPUT].source, USAGE_MISSING);
    ck_assert_int_eq(u.bucket[USAGE_OUTPUT].source, USAGE_UPSTREAM);
    ck_assert_int_eq(u.bucket[USAGE_OUTPUT].n, 0);
    ck_assert_int_eq(u.bucket[USAGE_REASONING].source, USAGE_MISSING);
}
END_TEST

START_TEST(contradictory_numbers_never_exceed_the_total_nor_fall_below_zero)
{
    static const int64_t cases[][3] = {
        {5, 9, 0}, {5, 4, 4}, {-3, 0, 0}, {5, -1, 0}, {0, 0, 1}, {INT64_MIN, INT64_MAX, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct openai_counts c = counts_of(cases[i][0], cases[i][1], cases[i][2]);
        struct usage u = {0};
        int64_t total = cases[i][0] < 0 ? 0 : cases[i][0], sum = 0;

        ck_assert(!openai_counts_to_usage(&c, &u));
        for (size_t b = 0; b <= USAGE_AUDIO_INPUT; b++) {
            ck_assert_int_ge(u.bucket[b].n, 0);
            sum += u.bucket[b].n;
        }
        ck_assert_int_eq(sum, total);
    }
}
END_TEST

START_TEST(a_number_that_no_call_can_use_is_as_good_as_none)
{
    static const int64_t numbers[] = {-5, INT64_MIN, (int64_t)USAGE_TOKENS_MAX + 1, INT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct openai_counts total = counts_of(numbers[i], 3, 0),
                             part = counts_of(5, numbers[i], 0);
        struct usage u = {0}, v = {0};

        (void)openai_counts_to_usage(&total, &u);
        ck_assert_int_eq(u.disbelieved, numbers[i]);
        ck_assert_int_eq(u.bucket[USAGE_INPUT].source, USAGE_MISSING);
        ck_assert_int_eq(u.bucket[USAGE_CACHED_INPUT].source, USAGE_MISSING);
        (void)openai_counts_to_usage(&part, &v);
        ck_assert_int_eq(v.disbelieved, numbers[i]);
        ck_assert_int_eq(v.bucket[USAGE_INPUT].n, 5);
        ck_assert_int_eq(v.bucket[USAGE_CACHED_INPUT].source, USAGE_MISSING);
    }
}
END_TEST

START_TEST(the_largest_number_that_is_possible_is_believed)
{
    struct openai_counts c = counts_of(USAGE_TOKENS_MAX, 0, 0);
    struct usage u = {0};

    ck_assert(openai_counts_to_usage(&c, &u));
    ck_assert_int_eq(u.bucket[USAGE_INPUT].n, USAGE_TOKENS_MAX);
    ck_assert_int_eq(u.disbelieved, 0);
}
END_TEST

START_TEST(a_sum_of_counts_stops_at_the_largest_number)
{
    struct openai_counts sum = counts_of(INT64_MAX - 1, 3, 0), more = counts_of(7, 4, 0);

    openai_counts_add(&sum, &more);
    ck_assert_int_eq(sum.count[OPENAI_PROMPT].n, INT64_MAX);
    ck_assert_int_eq(sum.count[OPENAI_CACHED].n, 7);
    ck_assert(!sum.count[OPENAI_COMPLETION].stated);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("usage");

    tcase_add_test(cases, every_bucket_has_the_name_of_a_unit);
    tcase_add_test(cases, a_value_that_is_set_keeps_its_source);
    tcase_add_test(cases, buckets_are_disjoint_and_add_up_to_the_stated_total);
    tcase_add_test(cases, what_is_not_stated_stays_missing);
    tcase_add_test(cases, contradictory_numbers_never_exceed_the_total_nor_fall_below_zero);
    tcase_add_test(cases, a_number_that_no_call_can_use_is_as_good_as_none);
    tcase_add_test(cases, the_largest_number_that_is_possible_is_believed);
    tcase_add_test(cases, a_sum_of_counts_stops_at_the_largest_number);
    return run_tests(cases, "usage");
}
