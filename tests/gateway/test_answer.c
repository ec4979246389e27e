/* Answers: where an event of a stream ends, and which trace contexts travel on. */
#include <check.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "tests/base/run.h"

START_TEST(only_a_blank_line_ends_an_event)
{
    static const struct {
        const char *bytes;
        bool ends;
    } rows[] = {
        {"data: x\n\n", true},  {"data: x\r\n\r\n", true},
        {"data: x\r\r", true},  {"data: x\n", false},
        {"data: x\r\n", false}, {"data: {\"a\":", false},
        {"\n", false},          {"", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(answer_ends_event(span_of(rows[i].bytes)) == rows[i].ends, "row %zu", i);
}
END_TEST

START_TEST(only_a_well_formed_trace_context_travels_on)
{
    static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char out[TRACEPARENT_TEXT], text[80];

    traceparent_take(span_of(good), out);
    ck_assert_str_eq(out, good);
    traceparent_take(SPAN(""), out);
    ck_assert_str_eq(out, "");
    for (size_t i = 0; i < sizeof good - 1; i++) {
        memcpy(text, good, sizeof good);
        text[i] = '\r';
        traceparent_take(span_of(text), out);
        ck_assert_msg(!out[0], "byte %zu may be anything", i);
        traceparent_take((struct span){good, i}, out);
        ck_assert_str_eq(out, "");
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("answers");

    tcase_add_test(t, only_a_blank_line_ends_an_event);
    tcase_add_test(t, only_a_well_formed_trace_context_travels_on);
    return run_tests(t, "answer");
}
