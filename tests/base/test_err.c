/* Errors carry their sentence whatever the caller passes in, their own text included. */
#include <errno.h>
#include <string.h>

#include "lib/base/err.h"
#include "tests/base/run.h"

START_TEST(an_error_has_its_code_and_sentence_and_is_false)
{
    struct err err = {.sys = 7};

    ck_assert(!err_set(&err, ERR_LIMIT, "%d is more than %d", 5, 4));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_int_eq(err.sys, 0);
    ck_assert_str_eq(err.text, "5 is more than 4");
}
END_TEST

START_TEST(nobody_needs_to_want_the_error)
{
    errno = EIO;
    ck_assert(!err_set(NULL, ERR_INPUT, "x"));
    ck_assert(!err_sys(NULL, "x"));
    ck_assert(!err_context(NULL, "x"));
}
END_TEST

static const struct {
    int sys;
    enum err_code code;
} codes[] = {{ENOSPC, ERR_FULL},
             {EDQUOT, ERR_FULL},
             {ENOENT, ERR_NOT_FOUND},
             {EIO, ERR_IO},
             {EACCES, ERR_IO}};

START_TEST(system_errors_get_the_code_to_act_on)
{
    struct err err;

    errno = codes[_i].sys;
    ck_assert(!err_sys(&err, "cannot open %s", "f"));
    ck_assert_int_eq(err.code, codes[_i].code);
    ck_assert_int_eq(err.sys, codes[_i].sys);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot open f: "));
    ck_assert_ptr_nonnull(strstr(err.text, strerror(codes[_i].sys)));
}
END_TEST

START_TEST(context_stands_before_what_was_said)
{
    struct err err;

    errno = ENOENT;
    err_sys(&err, "cannot open f");
    ck_assert(!err_context(&err, "account %s", "a"));
    ck_assert_str_eq(err.text, "account a: cannot open f: No such file or directory");
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(err.sys, ENOENT);
    err_set(&err, ERR_INPUT, "again: %s", err.text);
    ck_assert_str_eq(err.text, "again: account a: cannot open f: No such file or directory");
}
END_TEST

START_TEST(long_sentences_are_cut_and_terminated)
{
    struct err err;
    char longer[3 * ERR_TEXT_MAX];

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    err_set(&err, ERR_INPUT, "%s", longer);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_MAX - 1);
    err_context(&err, "%s", longer);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_MAX - 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("err");

    tcase_add_test(tcase, an_error_has_its_code_and_sentence_and_is_false);
    tcase_add_test(tcase, nobody_needs_to_want_the_error);
    tcase_add_loop_test(tcase, system_errors_get_the_code_to_act_on, 0, ARRAY_LEN(codes));
    tcase_add_test(tcase, context_stands_before_what_was_said);
    tcase_add_test(tcase, long_sentences_are_cut_and_terminated);
    return run_tests(tcase, "err");
}
