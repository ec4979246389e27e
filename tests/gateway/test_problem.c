/* Problems: every row can be told, in OpenAI's shape, and no two share a name. */
#include <check.h>
#include <stdlib.h>

#include "gateway/problem.h"
#include "lib/base/json.h"
#include "tests/base/run.h"

START_TEST(every_problem_has_a_status_a_type_and_a_sentence)
{
    static const char *const domains[] = {"caller_", "policy_", "upstream_", "gateway_"};

    for (int p = 0; p < PROBLEM_COUNT; p++) {
        const struct problem_row *row = problem_row((enum problem)p);
        bool is_in_a_domain = false;

        for (size_t i = 0; i < ARRAY_LEN(domains); i++)
            is_in_a_domain |= span_starts(span_of(row->name), span_of(domains[i]));
        ck_assert_msg(is_in_a_domain, "%s is in no fault domain", row->name);
        ck_assert_msg(row->status >= 400 && row->status < 600, "%s has status %u", row->name,
                      row->status);
        ck_assert_ptr_nonnull(row->type);
        ck_assert_msg(row->message && strlen(row->message) > 10, "%s says nothing", row->name);
        for (int q = 0; q < p; q++)
            ck_assert_str_ne(row->name, problem_row((enum problem)q)->name);
    }
}
END_TEST

/* An account without credit is hit once, not three times. */
START_TEST(what_a_retry_cannot_mend_says_so)
{
    ck_assert_int_eq(problem_row(POLICY_NO_CREDIT)->retry, -1);
    ck_assert_uint_eq(problem_row(POLICY_NO_CREDIT)->status, 402);
    ck_assert_str_eq(problem_row(POLICY_NO_CREDIT)->code, "insufficient_quota");
    ck_assert_int_eq(problem_row(POLICY_CURRENCY)->retry, -1);
    ck_assert_int_eq(problem_row(CALLER_BAD_KEY)->retry, -1);
    ck_assert_int_eq(problem_row(POLICY_CONCURRENCY)->retry, 1);
    ck_assert_int_eq(problem_row(GATEWAY_UNAVAILABLE)->retry, 1);
}
END_TEST

START_TEST(an_error_is_openais_object_whatever_it_says)
{
    AUTO_CLEAR(buf) text = {.max = 4096};
    struct err err;

    problem_write(&text, CALLER_BAD_REQUEST, &(struct problem_details){.param = "model"},
                  "a \"quote\", a \n line and 中文");
    AUTO_JSON json = json_parse(buf_span(&text), &err);
    ck_assert_msg(json, "%s", err.text);
    const json_t *error = json_object_get(json, "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "message")),
                     "a \"quote\", a \n line and 中文");
    ck_assert_str_eq(json_string_value(json_object_get(error, "param")), "model");
    ck_assert_str_eq(json_string_value(json_object_get(error, "type")), "invalid_request_error");
    ck_assert(json_is_null(json_object_get(error, "code")));
}
END_TEST

START_TEST(the_parsers_statuses_have_problems_of_the_same_status)
{
    static const unsigned statuses[] = {400, 408, 413, 414, 431};

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        ck_assert_uint_eq(problem_row(problem_of_status(statuses[i]))->status, statuses[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("problems");

    tcase_add_test(t, every_problem_has_a_status_a_type_and_a_sentence);
    tcase_add_test(t, what_a_retry_cannot_mend_says_so);
    tcase_add_test(t, an_error_is_openais_object_whatever_it_says);
    tcase_add_test(t, the_parsers_statuses_have_problems_of_the_same_status);
    return run_tests(t, "problem");
}
