/* Secrets: bounded, wiped, read only from files that nobody else can read. */
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/secret.h"
#include "tests/base/run.h"

static void put(const char *path, struct span bytes, mode_t mode)
{
    ck_assert(file_write_atomic(path, mode, bytes, NULL));
}

START_TEST(a_secret_holds_up_to_its_maximum)
{
    char bytes[SECRET_MAX + 1] = "x";
    struct secret s = {0};
    struct err err;

    ck_assert(secret_set(&s, (struct span){bytes, SECRET_MAX}, &err));
    ck_assert(span_equal(secret_reveal(&s), (struct span){bytes, SECRET_MAX}));
    ck_assert(!secret_set(&s, (struct span){bytes, SECRET_MAX + 1}, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
}
END_TEST

START_TEST(clearing_wipes_every_byte)
{
    static const struct secret nothing;
    struct secret s;

    memset(&s, 0xff, sizeof s);
    secret_clear(&s);
    ck_assert(memcmp(&s, &nothing, sizeof s) == 0);
}
END_TEST

START_TEST(a_shorter_secret_leaves_nothing_of_the_longer)
{
    struct secret a = {0}, b = {0};

    ck_assert(secret_set(&a, SPAN("longer secret"), NULL));
    ck_assert(secret_set(&a, SPAN("long"), NULL));
    ck_assert(secret_set(&b, SPAN("long"), NULL));
    ck_assert(memcmp(&a, &b, sizeof a) == 0);
}
END_TEST

START_TEST(secrets_are_equal_only_in_all_bytes_and_length)
{
    struct secret a = {0}, b = {0};

    ck_assert(secret_set(&a, SPAN("abc"), NULL));
    ck_assert(secret_set(&b, SPAN("abc"), NULL));
    ck_assert(secret_equal(&a, &b));
    ck_assert(secret_set(&b, SPAN("abd"), NULL));
    ck_assert(!secret_equal(&a, &b));
    ck_assert(secret_set(&b, SPAN("abc\0"), NULL));
    ck_assert(!secret_equal(&a, &b));
    ck_assert(secret_set(&b, SPAN(""), NULL));
    ck_assert(!secret_equal(&a, &b));
}
END_TEST

START_TEST(one_trailing_newline_is_dropped)
{
    struct secret s = {0};

    put("a", SPAN("pepper\n"), 0600);
    ck_assert(secret_read_file(&s, "a", NULL));
    ck_assert(span_equal(secret_reveal(&s), SPAN("pepper")));
    put("a", SPAN("pepper\n\n"), 0400);
    ck_assert(secret_read_file(&s, "a", NULL));
    ck_assert(span_equal(secret_reveal(&s), SPAN("pepper\n")));
}
END_TEST

static const mode_t lax_modes[] = {0640, 0604, 0620, 0610, 0601, 0644, 0777};

START_TEST(a_file_that_others_can_touch_is_refused_with_the_remedy)
{
    struct secret s = {0};
    struct err err;

    put("a", SPAN("pepper"), lax_modes[_i]);
    ck_assert(!secret_read_file(&s, "a", &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(err.text, "chmod 600 a"));
    ck_assert_uint_eq(s.len, 0);
}
END_TEST

START_TEST(missing_empty_large_and_strange_files_are_refused)
{
    char large[SECRET_MAX + 1];
    struct secret s = {0};
    struct err err;

    ck_assert(!secret_read_file(&s, "none", &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    put("empty", SPAN("\n"), 0600);
    ck_assert(!secret_read_file(&s, "empty", &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    memset(large, 'x', sizeof large);
    put("large", (struct span){large, sizeof large}, 0600);
    ck_assert(!secret_read_file(&s, "large", &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    put("largest", (struct span){large, SECRET_MAX}, 0600);
    ck_assert(secret_read_file(&s, "largest", &err));
    ck_assert(dir_ensure("folder", 0700, NULL));
    ck_assert(!secret_read_file(&s, "folder", &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("secret");

    tcase_add_checked_fixture(tcase, enter_scratch_folder, leave_scratch_folder);
    tcase_add_test(tcase, a_secret_holds_up_to_its_maximum);
    tcase_add_test(tcase, clearing_wipes_every_byte);
    tcase_add_test(tcase, a_shorter_secret_leaves_nothing_of_the_longer);
    tcase_add_test(tcase, secrets_are_equal_only_in_all_bytes_and_length);
    tcase_add_test(tcase, one_trailing_newline_is_dropped);
    tcase_add_loop_test(tcase, a_file_that_others_can_touch_is_refused_with_the_remedy, 0,
                        ARRAY_LEN(lax_modes));
    tcase_add_test(tcase, missing_empty_large_and_strange_files_are_refused);
    return run_tests(tcase, "secret");
}
