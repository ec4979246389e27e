/* Ranges of addresses: what is one, and what is in it. */
#include <check.h>
#include <stdlib.h>

#include "lib/net/addr_range.h"
#include "tests/base/run.h"

static bool has(const char *range, const char *address)
{
    struct addr_range r;
    struct addr a;

    ck_assert(addr_range_parse(range, &r, NULL));
    ck_assert(addr_parse(address, &a, NULL));
    return addr_range_has(&r, &a);
}

START_TEST(a_range_has_its_first_and_last_address_and_no_other)
{
    ck_assert(has("10.1.16.0/20", "10.1.16.0:1"));
    ck_assert(has("10.1.16.0/20", "10.1.31.255:1"));
    ck_assert(!has("10.1.16.0/20", "10.1.15.255:1"));
    ck_assert(!has("10.1.16.0/20", "10.1.32.0:1"));
    ck_assert(has("2001:db8::/33", "[2001:db8:7fff::1]:1"));
    ck_assert(!has("2001:db8::/33", "[2001:db8:8000::1]:1"));
}
END_TEST

START_TEST(an_address_alone_has_itself)
{
    ck_assert(has("127.0.0.1", "127.0.0.1:9"));
    ck_assert(!has("127.0.0.1", "127.0.0.2:9"));
    ck_assert(has("::1", "[::1]:9"));
}
END_TEST

START_TEST(a_mapped_address_is_its_own_v4_address)
{
    ck_assert(has("10.0.0.0/8", "[::ffff:10.2.3.4]:9"));
    ck_assert(!has("10.0.0.0/8", "[::ffff:11.2.3.4]:9"));
    ck_assert(!has("10.0.0.0/8", "[::10.2.3.4]:9"));
}
END_TEST

START_TEST(everything_is_in_the_widest_range)
{
    ck_assert(has("0.0.0.0/0", "255.255.255.255:9"));
    ck_assert(!has("0.0.0.0/0", "[2001:db8::1]:9"));
    ck_assert(has("::/0", "[2001:db8::1]:9"));
    ck_assert(has("::/0", "1.2.3.4:9"));
    ck_assert(!has("::/0", "unix:/run/socket"));
}
END_TEST

START_TEST(what_is_no_range_is_refused_with_a_sentence)
{
    static const char *const wrong[] = {
        "",          "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8",       "localhost",
        "10.0.0.0/", "10.0.0.0/-1", "::/129",     "2001:db8::1/64", "10.0.0.0/8 "};
    struct addr_range r;
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(!addr_range_parse(wrong[i], &r, &err), "'%s'", wrong[i]);
        ck_assert_int_eq(err.code, ERR_INPUT);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("addr_range");

    tcase_add_test(t, a_range_has_its_first_and_last_address_and_no_other);
    tcase_add_test(t, an_address_alone_has_itself);
    tcase_add_test(t, a_mapped_address_is_its_own_v4_address);
    tcase_add_test(t, everything_is_in_the_widest_range);
    tcase_add_test(t, what_is_no_range_is_refused_with_a_sentence);
    return run_tests(t, "addr_range");
}
