/* Bytes as text: every value has one spelling, and that is the only one taken. */
#include <stdio.h>
#include <string.h>

#include "lib/base/rand.h"
#include "lib/base/text.h"
#include "tests/base/run.h"

START_TEST(hex_goes_there_and_back)
{
    unsigned char bytes[40], back[40];
    char text[81];

    for (size_t n = 0; n <= sizeof bytes; n++) {
        rand_bytes(bytes, n);
        hex_encode(bytes, n, text);
        ck_assert_uint_eq(strlen(text), 2 * n);
        ck_assert(hex_decode(span_of(text), back, n));
        ck_assert(memcmp(bytes, back, n) == 0);
    }
    hex_encode("\x00\xff\x1a", 3, text);
    ck_assert_str_eq(text, "00ff1a");
    ck_assert(hex_decode(SPAN("00FF1a"), back, 3));
}
END_TEST

START_TEST(hex_of_another_length_or_alphabet_is_refused_untouched)
{
    unsigned char out[2] = {7, 7};

    ck_assert(!hex_decode(SPAN("abc"), out, 2));
    ck_assert(!hex_decode(SPAN("abcdef"), out, 2));
    ck_assert(!hex_decode(SPAN("abcg"), out, 2));
    ck_assert(!hex_decode(SPAN("ab d"), out, 2));
    ck_assert(out[0] == 7 && out[1] == 7);
}
END_TEST

/* RFC 4648 section 10, and the two characters in which the alphabets differ. */
static const struct {
    const char *bytes;
    size_t len;
    const char *url, *plain;
} base64[] = {
    {"", 0, "", ""},
    {"f", 1, "Zg", "Zg=="},
    {"fo", 2, "Zm8", "Zm8="},
    {"foo", 3, "Zm9v", "Zm9v"},
    {"foob", 4, "Zm9vYg", "Zm9vYg=="},
    {"fooba", 5, "Zm9vYmE", "Zm9vYmE="},
    {"foobar", 6, "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xfe", 3, "-__-", "+//+"},
};

START_TEST(base64_is_as_in_rfc_4648)
{
    AUTO_CLEAR(buf) url = {.max = 64};
    AUTO_CLEAR(buf) plain = {.max = 64};
    AUTO_CLEAR(buf) back = {.max = 64};

    ck_assert(base64url_encode(&url, base64[_i].bytes, base64[_i].len));
    ck_assert(span_equal(buf_span(&url), span_of(base64[_i].url)));
    ck_assert(base64_encode(&plain, base64[_i].bytes, base64[_i].len));
    ck_assert(span_equal(buf_span(&plain), span_of(base64[_i].plain)));
    ck_assert(base64url_decode(&back, span_of(base64[_i].url)));
    ck_assert(span_equal(buf_span(&back), (struct span){base64[_i].bytes, base64[_i].len}));
}
END_TEST

/* Of all texts of two and three characters exactly those are taken that encoding gives. */
START_TEST(only_the_canonical_base64url_is_taken)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                                  "+/= \n.";
    unsigned accepted[4] = {0};

    for (size_t n = 1; n <= 3; n++) {
        size_t all = n == 1 ? sizeof letters : sizeof letters * sizeof letters;

        for (size_t i = 0; i < all; i++) {
            char text[3] = {letters[i % sizeof letters], letters[i / sizeof letters], 'A'};
            AUTO_CLEAR(buf) bytes = {.max = 8};
            AUTO_CLEAR(buf) again = {.max = 8};

            if (n == 3) {
                text[2] = text[1];
                text[1] = 'A';
            }
            if (!base64url_decode(&bytes, (struct span){text, n}))
                continue;
            accepted[n]++;
            ck_assert(base64url_encode(&again, bytes.data, bytes.len));
            ck_assert(span_equal(buf_span(&again), (struct span){text, n}));
        }
    }
    ck_assert_uint_eq(accepted[1], 0);
    ck_assert_uint_eq(accepted[2], 64 * 4);
    ck_assert_uint_eq(accepted[3], 64 * 16);
}
END_TEST

START_TEST(base64url_that_does_not_fit_leaves_the_buffer)
{
    AUTO_CLEAR(buf) out = {.max = 4};

    buf_add_string(&out, "ab");
    ck_assert(!base64url_decode(&out, SPAN("Zm9vYmFy")));
    ck_assert_str_eq(out.data, "ab");
}
END_TEST

static const struct {
    const char *text;
    int64_t value;
} integers[] = {
    {"0", 0},
    {"7", 7},
    {"-1", -1},
    {"1234567890", 1234567890},
    {"9223372036854775807", INT64_MAX},
    {"-9223372036854775808", INT64_MIN},
    {"-9223372036854775807", -INT64_MAX},
};

START_TEST(integers_are_read)
{
    int64_t value;

    ck_assert(int64_parse(span_of(integers[_i].text), &value));
    ck_assert_int_eq(value, integers[_i].value);
}
END_TEST

static const char *const not_integers[] = {"",
                                           "-",
                                           "+1",
                                           "01",
                                           "-0",
                                           "00",
                                           " 1",
                                           "1 ",
                                           "0x1",
                                           "1.0",
                                           "1e1",
                                           "--1",
                                           "1-1",
                                           "\t1",
                                           "1_0",
                                           "a",
                                           "9223372036854775808",
                                           "-9223372036854775809",
                                           "18446744073709551616",
                                           "99999999999999999999999"};

START_TEST(other_spellings_of_integers_are_refused)
{
    int64_t value = 5;

    ck_assert(!int64_parse(span_of(not_integers[_i]), &value));
    ck_assert_int_eq(value, 5);
}
END_TEST

START_TEST(integers_are_spelled_as_they_are_read)
{
    static const int64_t edges[] = {0, 1, -1, 9, 10, -10, 99, 100, INT64_MAX, INT64_MIN};
    char text[INT64_TEXT], expected[32];

    for (size_t i = 0; i < ARRAY_LEN(edges) + 2000; i++) {
        int64_t n = i < ARRAY_LEN(edges) ? edges[i] : (int64_t)(rand_u64() >> rand_below(64));
        struct span spelled = int64_text(n, text);

        snprintf(expected, sizeof expected, "%lld", (long long)n);
        ck_assert_str_eq(spelled.data, expected);
        ck_assert_uint_eq(spelled.len, strlen(expected));
        spelled = uint64_text((uint64_t)n, text);
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)n);
        ck_assert_str_eq(spelled.data, expected);
        ck_assert_uint_eq(spelled.len, strlen(expected));
    }
}
END_TEST

START_TEST(digits_are_bounded_exactly)
{
    static const uint64_t bounds[] = {0, 1, 9, 10, 59, 255, UINT64_MAX - 1, UINT64_MAX};
    uint64_t value;
    char text[32];

    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        snprintf(text, sizeof text, "00%llu", (unsigned long long)bounds[i]);
        ck_assert(digits_parse(span_of(text), bounds[i], &value));
        ck_assert(value == bounds[i]);
        if (bounds[i] > 0)
            ck_assert(!digits_parse(span_of(text), bounds[i] - 1, &value));
    }
    ck_assert(!digits_parse(SPAN("18446744073709551616"), UINT64_MAX, &value));
    ck_assert(!digits_parse(SPAN("5"), 4, &value));
    ck_assert(!digits_parse(SPAN("-1"), 4, &value));
    ck_assert(!digits_parse(SPAN(""), 4, &value));
}
END_TEST

START_TEST(ids_have_their_alphabet_and_length)
{
    char longest[66];

    memset(longest, 'a', sizeof longest);
    ck_assert(id_is_valid((struct span){longest, 64}));
    ck_assert(!id_is_valid((struct span){longest, 65}));
    ck_assert(id_is_valid(SPAN("a")));
    ck_assert(id_is_valid(SPAN("9.A_b-c")));
    ck_assert(!id_is_valid(SPAN("")));
    ck_assert(!id_is_valid(SPAN("-a")));
    ck_assert(!id_is_valid(SPAN(".a")));
    ck_assert(!id_is_valid(SPAN("a/b")));
    ck_assert(!id_is_valid(SPAN("a b")));
    ck_assert(!id_is_valid(SPAN("a\0")));
    ck_assert(!id_is_valid(SPAN("\xc3\xa9")));
}
END_TEST

/* Every code point is taken whole, with its neighbours outside the standard's ranges refused. */
START_TEST(utf8_is_that_of_rfc_3629)
{
    unsigned long sequences = 0;

    for (unsigned lead = 0; lead < 256; lead++) {
        for (unsigned second = 0; second < 256; second++) {
            unsigned char s[4] = {(unsigned char)lead, (unsigned char)second, 0x80, 0xbf};
            size_t n = utf8_length((struct span){(char *)s, 4});

            if (n > 1)
                sequences += n == 2 ? 1 : n == 3 ? 64 : 4096;
            if (n > 1)
                ck_assert_uint_eq(utf8_length((struct span){(char *)s, n - 1}), 0);
            s[n > 1 ? n - 1 : 3] = 'x';
            if (n > 1)
                ck_assert_uint_eq(utf8_length((struct span){(char *)s, 4}), 0);
        }
    }
    ck_assert_uint_eq(sequences, 0x110000 - 0x800 - 0x80);
    ck_assert_uint_eq(utf8_length(SPAN("a")), 1);
    ck_assert_uint_eq(utf8_length(SPAN("\0")), 1);
    ck_assert_uint_eq(utf8_length(SPAN("")), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("text");

    tcase_add_test(tcase, hex_goes_there_and_back);
    tcase_add_test(tcase, hex_of_another_length_or_alphabet_is_refused_untouched);
    tcase_add_loop_test(tcase, base64_is_as_in_rfc_4648, 0, ARRAY_LEN(base64));
    tcase_add_test(tcase, only_the_canonical_base64url_is_taken);
    tcase_add_test(tcase, base64url_that_does_not_fit_leaves_the_buffer);
    tcase_add_loop_test(tcase, integers_are_read, 0, ARRAY_LEN(integers));
    tcase_add_loop_test(tcase, other_spellings_of_integers_are_refused, 0, ARRAY_LEN(not_integers));
    tcase_add_test(tcase, integers_are_spelled_as_they_are_read);
    tcase_add_test(tcase, digits_are_bounded_exactly);
    tcase_add_test(tcase, ids_have_their_alphabet_and_length);
    tcase_add_test(tcase, utf8_is_that_of_rfc_3629);
    return run_tests(tcase, "text");
}
