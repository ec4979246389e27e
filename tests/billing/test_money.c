/* Decimal text, currencies and rounding: by examples at every edge, and by properties over random
 * amounts of every size. */
#include <check.h>
#include <stdlib.h>

#include "billing/money.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 50000

/* Every magnitude is as likely as every other. */
static int64_t any_amount(void)
{
    return (int64_t)rand_u64() >> rand_below(64);
}

static const struct {
    const char *text;
    int64_t nanos;
} readable[] = {
    {"0", 0},
    {"0.0", 0},
    {"0.000000000", 0},
    {"12", 12 * NANOS_PER_UNIT},
    {"2.00", 2 * NANOS_PER_UNIT},
    {"0.000000001", 1},
    {"-0.000000001", -1},
    {"-0.10", -100000000},
    {"10.05", 10050000000},
    {"1000000.123456789", 1000000123456789},
    {"9223372036.854775807", INT64_MAX},
    {"-9223372036.854775807", -INT64_MAX},
    {"-9223372036.854775808", INT64_MIN},
};

START_TEST(decimals_are_read_exactly)
{
    int64_t nanos = 77;

    ck_assert(decimal_parse(span_of(readable[_i].text), &nanos, NULL));
    ck_assert_int_eq(nanos, readable[_i].nanos);
}
END_TEST

static const struct {
    const char *text, *reason;
} unreadable[] = {
    {"", "begin with a digit"},
    {"-", "begin with a digit"},
    {".", "begin with a digit"},
    {".5", "begin with a digit"},
    {"-.5", "begin with a digit"},
    {"+1", "begin with a digit"},
    {"--1", "begin with a digit"},
    {" 1", "begin with a digit"},
    {"NaN", "begin with a digit"},
    {"\xd9\xa1", "begin with a digit"}, /* an Arabic one */
    {"-0", "zero has no minus"},
    {"-0.000000000", "zero has no minus"},
    {"00", "leading zeros"},
    {"01", "leading zeros"},
    {"-007.1", "leading zeros"},
    {"1.", "follow the point"},
    {"-1.", "follow the point"},
    {"1.-5", "follow the point"},
    {"1. 5", "follow the point"},
    {"1 ", "only digits"},
    {"1\n", "only digits"},
    {"1,5", "only digits"},
    {"1e3", "only digits"},
    {"0x10", "only digits"},
    {"1.2.3", "only digits"},
    {"1-", "only digits"},
    {"1_000", "only digits"},
    {"0.0000000001", "nine decimals"},
    {"0.0000000000", "nine decimals"},
    {"9223372036.854775808", "too large"},
    {"-9223372036.854775809", "too large"},
    {"9223372037", "too large"},
    {"9999999999.999999999", "too large"},
    {"10000000000", "too large"},
    {"99999999999999999999999999999999999999999999999999", "too large"},
};

START_TEST(every_other_spelling_is_refused_with_its_reason)
{
    int64_t nanos = 77;
    struct err err = {0};

    ck_assert(!decimal_parse(span_of(unreadable[_i].text), &nanos, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strstr(err.text, unreadable[_i].reason), "\"%s\" gave: %s", unreadable[_i].text,
                  err.text);
    ck_assert_int_eq(nanos, 77);
}
END_TEST

START_TEST(a_null_byte_is_no_part_of_a_decimal)
{
    int64_t nanos;

    ck_assert(!decimal_parse((struct span){"1\0", 2}, &nanos, NULL));
    ck_assert(!decimal_parse((struct span){NULL, 0}, &nanos, NULL));
}
END_TEST

static const struct {
    int64_t nanos;
    const char *text;
} written[] = {
    {0, "0"},
    {1, "0.000000001"},
    {-1, "-0.000000001"},
    {NANOS_PER_UNIT, "1"},
    {-NANOS_PER_UNIT / 2, "-0.5"},
    {100 * NANOS_PER_UNIT, "100"},
    {10050000000, "10.05"},
    {INT64_MAX, "9223372036.854775807"},
    {INT64_MIN, "-9223372036.854775808"},
};

START_TEST(the_shortest_decimal_is_written)
{
    char out[DECIMAL_TEXT];

    ck_assert_str_eq(decimal_format(written[_i].nanos, out), written[_i].text);
    ck_assert_ptr_eq(decimal_format(0, out), out);
}
END_TEST

START_TEST(totals_of_128_bits_are_written_whole)
{
    int128 max = (int128)(((uint128)1 << 127) - 1);
    char out[DECIMAL_TEXT];

    ck_assert_str_eq(decimal_format(max, out), "170141183460469231731687303715.884105727");
    ck_assert_str_eq(decimal_format(-max - 1, out), "-170141183460469231731687303715.884105728");
    ck_assert_str_eq(decimal_format((int128)UINT64_MAX * NANOS_PER_UNIT, out),
                     "18446744073709551615");
    ck_assert_str_eq(decimal_format(((int128)UINT64_MAX + 1) * NANOS_PER_UNIT, out),
                     "18446744073709551616");
}
END_TEST

START_TEST(what_is_written_is_read_back_the_same)
{
    for (int round = 0; round < ROUNDS; round++) {
        int64_t nanos = any_amount(), again = ~nanos;
        char out[DECIMAL_TEXT];
        size_t len = strlen(decimal_format(nanos, out));

        ck_assert_msg(decimal_parse(span_of(out), &again, NULL) && again == nanos, "%lld became %s",
                      (long long)nanos, out);
        ck_assert_msg(!strchr(out, '.') || (out[len - 1] != '0' && out[len - 1] != '.'),
                      "%s is not the shortest", out);
    }
}
END_TEST

/* Whatever is accepted has the value that the C library's decimal reading gives to its digits
 * without the point. */
START_TEST(random_texts_are_read_rightly_or_refused)
{
    static const char letters[] = "00123456789..--+e ";

    for (int round = 0; round < ROUNDS; round++) {
        size_t len = 1 + rand_below(8), decimals = 0;
        char text[16] = "", digits[16] = "", shortest[DECIMAL_TEXT];
        int64_t nanos;

        for (size_t i = 0; i < len; i++)
            text[i] = letters[rand_below(sizeof letters - 1)];
        if (!decimal_parse(span_of(text), &nanos, NULL))
            continue;
        for (size_t i = 0, n = 0; i < len; i++)
            if (text[i] != '.')
                digits[n++] = text[i];
        if (strchr(text, '.'))
            decimals = strlen(strchr(text, '.') + 1);
        int64_t expected = strtoll(digits, NULL, 10) * NANOS_PER_UNIT;
        for (size_t i = 0; i < decimals; i++)
            expected /= 10;
        ck_assert_msg(nanos == expected, "\"%s\" was read as %lld", text, (long long)nanos);
        ck_assert_uint_le(strlen(decimal_format(nanos, shortest)), len);
    }
}
END_TEST

START_TEST(currencies_have_the_minor_units_of_iso_4217)
{
    ck_assert_int_eq(currency_minor_nanos("CNY"), 10000000);
    ck_assert_int_eq(currency_minor_nanos("USD"), 10000000);
    ck_assert_int_eq(currency_minor_nanos("AED"), 10000000);
    ck_assert_int_eq(currency_minor_nanos("ZWG"), 10000000);
    ck_assert_int_eq(currency_minor_nanos("HUF"), 10000000);
    ck_assert_int_eq(currency_minor_nanos("JPY"), NANOS_PER_UNIT);
    ck_assert_int_eq(currency_minor_nanos("BIF"), NANOS_PER_UNIT);
    ck_assert_int_eq(currency_minor_nanos("XPF"), NANOS_PER_UNIT);
    ck_assert_int_eq(currency_minor_nanos("KWD"), 1000000);
    ck_assert_int_eq(currency_minor_nanos("TND"), 1000000);
}
END_TEST

START_TEST(only_whole_codes_are_currencies)
{
    static const char *const no_codes[] = {"",    "C",   "CN",  "cny", "CNYX", "XXX",
                                           "XAU", "ED ", "D A", " CN", "NY "};

    ck_assert(currency_is_known(SPAN("CNY")));
    for (size_t i = 0; i < ARRAY_LEN(no_codes); i++)
        ck_assert_msg(!currency_is_known(span_of(no_codes[i])), "\"%s\"", no_codes[i]);
}
END_TEST

START_TEST(halves_round_away_from_zero)
{
    static const struct {
        int64_t numerator, denominator, rounded;
    } rows[] = {
        {0, 7, 0},    {1, 2, 1},    {-1, 2, -1},   {3, 2, 2},      {-3, 2, -2},
        {49, 100, 0}, {50, 100, 1}, {-49, 100, 0}, {-50, 100, -1}, {1, 3, 0},
        {2, 3, 1},    {-2, 3, -1},  {7, 1, 7},     {-7, 1, -7},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_int_eq((int64_t)round_half_up(rows[i].numerator, rows[i].denominator),
                         rows[i].rounded);
}
END_TEST

START_TEST(rounding_reaches_to_the_ends_of_128_bits)
{
    int128 max = (int128)(((uint128)1 << 127) - 1), min = -max - 1;

    ck_assert(round_half_up(max, 1) == max);
    ck_assert(round_half_up(min, 1) == min);
    ck_assert(round_half_up(max, max) == 1);
    ck_assert(round_half_up(max / 2, max) == 0);
    ck_assert(round_half_up(max / 2 + 1, max) == 1);
    ck_assert(round_half_up(min, max) == -1);
    ck_assert(round_half_up(min, 2) == min / 2);
}
END_TEST

/* The definition: |2 n - 2 r d| <= d, a half only on the side away from zero. */
START_TEST(rounding_is_to_the_nearest)
{
    for (int round = 0; round < ROUNDS; round++) {
        int128 numerator = any_amount();
        int128 denominator = 1 + (int128)(rand_u64() >> (1 + rand_below(63)));
        int128 rounded = round_half_up(numerator, denominator);
        int128 twice_off = 2 * (numerator - rounded * denominator);

        if (numerator < 0)
            twice_off = -twice_off;
        ck_assert(twice_off >= -denominator && twice_off < denominator);
        ck_assert(round_half_up(-numerator, denominator) == -rounded);
    }
}
END_TEST

START_TEST(payouts_are_rounded_down_also_below_zero)
{
    ck_assert_int_eq(money_floor_minor(19999999, "CNY"), 10000000);
    ck_assert_int_eq(money_floor_minor(10000000, "CNY"), 10000000);
    ck_assert_int_eq(money_floor_minor(9999999, "CNY"), 0);
    ck_assert_int_eq(money_floor_minor(-1, "CNY"), -10000000);
    ck_assert_int_eq(money_floor_minor(-10000000, "CNY"), -10000000);
    ck_assert_int_eq(money_floor_minor(INT64_MAX, "JPY"),
                     INT64_MAX / NANOS_PER_UNIT * NANOS_PER_UNIT);
    ck_assert_int_eq(money_floor_minor(1999999, "KWD"), 1000000);
}
END_TEST

START_TEST(only_what_64_bits_hold_fits)
{
    int64_t out = 5;

    ck_assert(nanos_fit(INT64_MAX, &out) && out == INT64_MAX);
    ck_assert(nanos_fit(INT64_MIN, &out) && out == INT64_MIN);
    ck_assert(!nanos_fit((int128)INT64_MAX + 1, &out));
    ck_assert(!nanos_fit((int128)INT64_MIN - 1, &out));
    ck_assert_int_eq(out, INT64_MIN);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("money");

    tcase_add_loop_test(tcase, decimals_are_read_exactly, 0, ARRAY_LEN(readable));
    tcase_add_loop_test(tcase, every_other_spelling_is_refused_with_its_reason, 0,
                        ARRAY_LEN(unreadable));
    tcase_add_test(tcase, a_null_byte_is_no_part_of_a_decimal);
    tcase_add_loop_test(tcase, the_shortest_decimal_is_written, 0, ARRAY_LEN(written));
    tcase_add_test(tcase, totals_of_128_bits_are_written_whole);
    tcase_add_test(tcase, what_is_written_is_read_back_the_same);
    tcase_add_test(tcase, random_texts_are_read_rightly_or_refused);
    tcase_add_test(tcase, currencies_have_the_minor_units_of_iso_4217);
    tcase_add_test(tcase, only_whole_codes_are_currencies);
    tcase_add_test(tcase, halves_round_away_from_zero);
    tcase_add_test(tcase, rounding_reaches_to_the_ends_of_128_bits);
    tcase_add_test(tcase, rounding_is_to_the_nearest);
    tcase_add_test(tcase, payouts_are_rounded_down_also_below_zero);
    tcase_add_test(tcase, only_what_64_bits_hold_fits);
    return run_tests(tcase, "money");
}
