/* Small memory is there or the process is not. */
#include <signal.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"

static bool refuse;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return refuse ? NULL : __real_malloc(size);
}

START_TEST(memory_comes_zeroed_and_grows_with_its_content)
{
    unsigned char *p = xcalloc(3, 5);

    for (int i = 0; i < 15; i++)
        ck_assert_uint_eq(p[i], 0);
    memset(p, 7, 15);
    p = xrealloc_array(p, 1000, 5);
    for (int i = 0; i < 15; i++)
        ck_assert_uint_eq(p[i], 7);
    free(p);
}
END_TEST

START_TEST(nothing_at_all_is_still_an_address)
{
    void *p = xcalloc(0, 0), *q = xrealloc_array(NULL, 0, 8);

    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(q);
    free(p);
    free(q);
}
END_TEST

START_TEST(strings_are_copies)
{
    char original[] = "abcdef";
    AUTO_STRING whole = xstrdup(original);
    AUTO_STRING part = xstrndup(original, 3);
    AUTO_STRING made = xasprintf("%s-%d", original, 4);

    original[0] = 'X';
    ck_assert_str_eq(whole, "abcdef");
    ck_assert_str_eq(part, "abc");
    ck_assert_str_eq(made, "abcdef-4");
}
END_TEST

START_TEST(refused_memory_ends_the_process)
{
    refuse = true;
    free(xcalloc(1, 1));
}
END_TEST

START_TEST(a_size_that_overflows_ends_the_process)
{
    volatile size_t count = SIZE_MAX / 2;

    free(xrealloc_array(NULL, count, 4));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("mem");

    tcase_add_test(tcase, memory_comes_zeroed_and_grows_with_its_content);
    tcase_add_test(tcase, nothing_at_all_is_still_an_address);
    tcase_add_test(tcase, strings_are_copies);
    tcase_add_test_raise_signal(tcase, refused_memory_ends_the_process, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_size_that_overflows_ends_the_process, SIGABRT);
    return run_tests(tcase, "mem");
}
