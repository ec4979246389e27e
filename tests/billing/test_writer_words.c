/* What Redis keeps of a writer is read strictly: a word that is cut off or torn says nothing. */
#include <check.h>
#include <stdlib.h>

#include "billing/writer_words.h"
#include "tests/base/run.h"

START_TEST(a_cursor_is_a_number_and_a_checksum)
{
    struct record_cursor at;

    ck_assert(cursor_word_parse(SPAN("1200 00c0ffee"), &at));
    ck_assert_uint_eq(at.n, 1200);
    ck_assert_uint_eq(at.crc, 0xc0ffee);
}
END_TEST

START_TEST(a_live_word_says_who_is_behind_and_when_it_was_heard)
{
    struct live_word word;

    ck_assert(live_word_parse(SPAN("6f1e 1770000000123 3"), &word));
    ck_assert(!word.is_behind);
    ck_assert_int_eq(word.heard_ms, 1770000000123);
    ck_assert(live_word_parse(SPAN("- 5 1"), &word));
    ck_assert(word.is_behind);
    ck_assert_int_eq(word.heard_ms, 5);
}
END_TEST

START_TEST(a_torn_word_is_refused_and_changes_nothing)
{
    static const char *const torn[] = {
        "",           " ",           "12",        "12 ",         "12 c0ffee",
        "x 00c0ffee", "-1 00c0ffee", " 00c0ffee", "12 00c0ffeg", "12 00c0ffee "};
    static const char *const deaf[] = {"", "6f1e", "6f1e ", "6f1e x 1", "6f1e  5 1"};
    struct record_cursor at = {7, 7};
    struct live_word word = {true, 7};

    for (size_t i = 0; i < ARRAY_LEN(torn); i++)
        ck_assert_msg(!cursor_word_parse(span_of(torn[i]), &at), "\"%s\"", torn[i]);
    for (size_t i = 0; i < ARRAY_LEN(deaf); i++)
        ck_assert_msg(!live_word_parse(span_of(deaf[i]), &word), "\"%s\"", deaf[i]);
    ck_assert(!cursor_word_parse((struct span){NULL, 0}, &at));
    ck_assert(at.n == 7 && at.crc == 7 && word.is_behind && word.heard_ms == 7);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("writer_words");

    tcase_add_test(tcase, a_cursor_is_a_number_and_a_checksum);
    tcase_add_test(tcase, a_live_word_says_who_is_behind_and_when_it_was_heard);
    tcase_add_test(tcase, a_torn_word_is_refused_and_changes_nothing);
    return run_tests(tcase, "writer_words");
}
