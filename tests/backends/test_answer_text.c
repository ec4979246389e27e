/* test_answer_text.c - what counts as said, and how much of it there is. */
#include <check.h>
#include <stdlib.h>

#include "backends/answer_text.h"
#include "tests/base/run.h"

START_TEST(the_bytes_of_a_text_are_those_that_it_means)
{
    static const struct {
        const char *value;
        int64_t bytes;
    } cases[] = {
        {"\"\"", 0},
        {"\"abcd\"", 4},
        {"\"\\n\\\"\\\\\"", 3},
        {"\"\\u0041\\u007f\"", 2},
        {"\"\\u0080\\u07FF\"", 4},
        {"\"\\u0800\\u4e2d\\uffff\"", 9},
        {"\"\\ud83d\\uDE00\"", 4},
        {"\"\xe4\xb8\xad\"", 3},
        {"null", 0},
        {"[\"ab\",{\"x\" : \"cd\",\"y\":[1,true,\"e\"]}]", 5},
        {"{\"role\":\"assistant\",\"id\":\"call_1\",\"type\":\"function\",\"name\":\"f\"}", 1},
        {"{\"say\":\"a: \\\"b\\\": c\"}", 9},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(answer_text_bytes(span_of(cases[i].value)) == cases[i].bytes, "%s: %lld",
                      cases[i].value, (long long)answer_text_bytes(span_of(cases[i].value)));
    ck_assert_int_eq(answer_text_bytes((struct span){NULL, 0}), 0);
}
END_TEST

/* As exactly as long as it is, so that a sanitizer sees a byte too many. */
START_TEST(a_text_that_ends_anywhere_is_read_no_further)
{
    static const char text[] = "{\"a\":[\"b\\u00e4\\n\",\"c\"]}";

    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n ? n : 1);
        struct span cut = {copy, n};

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, n);
        ck_assert_int_le(answer_text_bytes(cut), (int64_t)n);
        (void)answer_delta_says(cut);
        free(copy);
    }
}
END_TEST

START_TEST(a_delta_says_something_when_a_member_beside_its_role_is_not_empty)
{
    static const char *const said[] = {"{\"x\":\"a\"}", "{\"role\":\"assistant\",\"x\":[0]}",
                                       "{\"x\":{\"y\":null}}"};
    static const char *const empty[] = {
        "{}",
        "null",
        "[\"a\"]",
        "{\"role\":\"assistant\"}",
        "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null,\"index\":1,\"is\":true}",
        "{\"x\":[ ],\"y\":{ }}",
        "{\"content\":null,\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":"
        "\"u\"}}]}",
        "{\"role\":\"assistant\",\"context\":{\"citations\":[\"a\"]}}",
        "{\"name\":\"a\",\"extra_content\":{\"google\":{\"thought\":true}}}"};

    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        ck_assert_msg(answer_delta_says(span_of(said[i])), "%s", said[i]);
    for (size_t i = 0; i < ARRAY_LEN(empty); i++)
        ck_assert_msg(!answer_delta_says(span_of(empty[i])), "%s", empty[i]);
    ck_assert(!answer_delta_says((struct span){NULL, 0}));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("answer_text");

    tcase_add_test(t, the_bytes_of_a_text_are_those_that_it_means);
    tcase_add_test(t, a_text_that_ends_anywhere_is_read_no_further);
    tcase_add_test(t, a_delta_says_something_when_a_member_beside_its_role_is_not_empty);
    return run_tests(t, "answer_text");
}
