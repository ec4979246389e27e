/* The scanner takes what RFC 8259 takes and nothing else, wherever the text is cut, and finds what was asked for. */
#include "tests/base/scan.h"

static const char *const valid[] = {
    "0",
    "-0",
    " 1 ",
    "-12.5e+3",
    "1E400",
    "123456789012345678901234567890",
    "0.0",
    "1e5",
    "1e-5",
    "0e0",
    "true",
    "false",
    " null\r\n\t",
    "\"\"",
    "\"abc\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0041\\u00e9\\u4F60\\uABCD\"",
    "\"\\ud83d\\ude00\"",
    "\"\\uD800\\uDC00\\udbff\\udfff\"",
    "\"\\u0000\"",
    "\"\x7f\"",
    "\"\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xee\x80\x80\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1]",
    "[1,2 , 3]",
    "[[],[[]],{}]",
    "{\"a\":1}",
    "{\"a\" : 1 , \"b\":{\"c\":[]}}",
    "{\"\":0,\"\":1}",
    "{\"a\\u0000\":1}",
    "[\"a\",null,1.5,-1,{\"x\":\"y\"}]",
};

static const struct {
    const char *text;
    size_t len; /* 0: up to the NUL */
} invalid[] = {
    {"", 0},
    {" ", 0},
    {"nul", 0},
    {"nulL", 0},
    {"True", 0},
    {"truee", 0},
    {"true false", 0},
    {"01", 0},
    {"-01", 0},
    {"-", 0},
    {"+1", 0},
    {".5", 0},
    {"1.", 0},
    {"1.e5", 0},
    {"1e", 0},
    {"1e+", 0},
    {"0x10", 0},
    {"1.2.3", 0},
    {"1e5.5", 0},
    {"--1", 0},
    {"1 2", 0},
    {"1-", 0},
    {"NaN", 0},
    {"Infinity", 0},
    {"-Infinity", 0},
    {"\"", 0},
    {"\"abc", 0},
    {"'abc'", 0},
    {"\"a\nb\"", 0},
    {"\"a\tb\"", 0},
    {"\"\x1f\"", 0},
    {"\"\0\"", 3},
    {"\"\\a\"", 0},
    {"\"\\", 0},
    {"\"\\u", 0},
    {"\"\\u12\"", 0},
    {"\"\\u12g4\"", 0},
    {"\"\\u 123\"", 0},
    {"\"\\U0041\"", 0},
    {"\"\\x41\"", 0},
    {"\"\\ud800\"", 0},
    {"\"\\ud800x\"", 0},
    {"\"\\ud800\\n\"", 0},
    {"\"\\ud800\\u0041\"", 0},
    {"\"\\ud800\\ud800\\udc00\"", 0},
    {"\"\\udc00\"", 0},
    {"\"\\udc00\\ud800\"", 0},
    {"\"\x80\"", 0},
    {"\"\xc0\x80\"", 0},
    {"\"\xc1\xbf\"", 0},
    {"\"\xc3\"", 0},
    {"\"\xc3", 0},
    {"\"\xe0\x9f\xbf\"", 0},
    {"\"\xed\xa0\x80\"", 0},
    {"\"\xe4\xbd\"", 0},
    {"\"\xe4\xbdxyz\"", 0},
    {"\"\xf0\x8f\xbf\xbf\"", 0},
    {"\"\xf4\x90\x80\x80\"", 0},
    {"\"\xf5\x80\x80\x80\"", 0},
    {"\"\xff\"", 0},
    {"\xef\xbb\xbf[]", 0},
    {"[", 0},
    {"]", 0},
    {"[1", 0},
    {"[1,]", 0},
    {"[,1]", 0},
    {"[1,,2]", 0},
    {"[1 2]", 0},
    {"[1}", 0},
    {"[1]]", 0},
    {"[]x", 0},
    {"{", 0},
    {"}", 0},
    {"{\"a\"", 0},
    {"{\"a\":", 0},
    {"{\"a\":1", 0},
    {"{\"a\":1,}", 0},
    {"{,}", 0},
    {"{\"a\"}", 0},
    {"{\"a\" 1}", 0},
    {"{\"a\"::1}", 0},
    {"{\"a\":1 \"b\":2}", 0},
    {"{a:1}", 0},
    {"{1:1}", 0},
    {"{\"a\":1]", 0},
    {"{[]:1}", 0},
    {"/* c */ 1", 0},
    {"[1] // c", 0},
    {"\f1", 0},
    {"\xc2\xa0"
     "1",
     0},
    {"1\0", 2},
    {"[\0]", 3},
};

static struct span invalid_text(int i)
{
    return (struct span){invalid[i].text,
                         invalid[i].len ? invalid[i].len : strlen(invalid[i].text)};
}

START_TEST(valid_texts_are_taken)
{
    ck_assert_msg(accepts(span_of(valid[_i])), "%s", valid[_i]);
}
END_TEST

START_TEST(invalid_texts_are_refused)
{
    ck_assert_msg(!accepts(invalid_text(_i)), "%s", invalid[_i].text);
}
END_TEST

/* Cut in two at every place, and into pieces of one to five bytes. */
static void is_the_same_however_cut(struct span text)
{
    struct outcome whole, cut;

    scan(text, &whole);
    for (size_t n = 1; n <= text.len; n++) {
        scan_pieces(text, n, text.len, &cut);
        ck_assert_msg(memcmp(&whole, &cut, sizeof whole) == 0, "%.*s cut at %zu: %s | %s",
                      SPAN_FMT(text), n, whole.problem, cut.problem);
    }
    for (size_t n = 1; n <= 5; n++) {
        scan_pieces(text, n, n, &cut);
        ck_assert_msg(memcmp(&whole, &cut, sizeof whole) == 0, "%.*s in pieces of %zu: %s | %s",
                      SPAN_FMT(text), n, whole.problem, cut.problem);
    }
}

static const char rich[] =
    "{\"\\u006dod\\u0065l\" : "
    "\"x\\u4f60\\ud83d\\ude00\\n\xe4\xbd\xa0y\xf0\x9f\x98\x80\",\"a\":-1.25e+10,"
    " \"b\":{\"x\":[1,{\"c\":2}],\"c\":[true,false,null]},\"d\":[\"\",\"one\",2,\"three\"],"
    "\"e\":[{\"f\":\"\"},{\"f\":\"x\",\"g\":1},3,{}],\"g\":[[1,2],[],[\"last\"]],\"a\":null} ";

START_TEST(the_result_does_not_depend_on_where_the_text_is_cut)
{
    for (size_t i = 0; i < ARRAY_LEN(valid); i++)
        is_the_same_however_cut(span_of(valid[i]));
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
        is_the_same_however_cut(invalid_text((int)i));
    is_the_same_however_cut(span_of(rich));
}
END_TEST

START_TEST(fields_are_found_with_what_is_known_of_them)
{
    struct outcome r;

    scan(span_of(rich), &r);
    ck_assert(r.ok);
    ck_assert_uint_eq(r.hits[0].seen, 2); /* a, given twice: the last counts */
    ck_assert_int_eq(r.hits[0].type, JSCAN_NULL);
    ck_assert_uint_eq(r.hits[1].seen, 1); /* b.c, not b.x.c */
    ck_assert_int_eq(r.hits[1].type, JSCAN_ARRAY);
    ck_assert_uint_eq(r.hits[1].count, 3);
    ck_assert_uint_eq(r.hits[2].seen, 4); /* d.* */
    ck_assert_uint_eq(r.hits[2].nonempty, 2);
    ck_assert_str_eq(r.hits[2].text, "three");
    ck_assert_uint_eq(r.hits[2].key_start, r.hits[2].start);
    ck_assert_uint_eq(r.hits[3].seen, 2); /* e.*.f */
    ck_assert_uint_eq(r.hits[3].nonempty, 1);
    ck_assert_uint_eq(r.hits[4].seen, 3); /* g.*.* */
    ck_assert_str_eq(r.hits[4].text, "last");
    ck_assert_str_eq(r.hits[5].text,
                     "x\xe4\xbd\xa0\xf0\x9f\x98\x80\n\xe4\xbd\xa0y\xf0\x9f\x98\x80");
    ck_assert_uint_eq(r.hits[5].key_start, 1);
    ck_assert_int_eq(r.hits[6].type, JSCAN_OBJECT); /* b, though b.c is wanted too */
    ck_assert_uint_eq(r.hits[6].count, 2);
    ck_assert_uint_eq(r.hits[7].count, 4);
}
END_TEST

START_TEST(a_star_means_elements_and_a_name_members)
{
    struct outcome r;

    scan(SPAN("{\"d\":{\"*\":1,\"x\":2},\"b\":[{\"c\":1}],\"e\":{\"*\":{\"f\":1}}}"), &r);
    ck_assert(r.ok);
    ck_assert_uint_eq(r.hits[2].seen, 0);
    ck_assert_uint_eq(r.hits[1].seen, 0);
    ck_assert_uint_eq(r.hits[3].seen, 0);
    scan(SPAN("[{\"a\":1}]"), &r);
    ck_assert_uint_eq(r.hits[0].seen, 0);
    scan(SPAN("{\"\":{\"a\":1},\"aa\":1,\"mode\":2,\"models\":3,\"A\":4}"), &r);
    ck_assert_uint_eq(r.hits[0].seen + r.hits[5].seen, 0);
}
END_TEST

/* The first letter of "a", "A" and "!" has the same low bits. */
START_TEST(names_that_begin_alike_are_told_apart_wherever_they_are_cut)
{
    static const char *const wanted[] = {"ab", "abc", "Ab", "!b", "a", "x.ab", "x.a"};
    const struct span text =
        SPAN("{\"Ab\":2,\"!b\":3,\"\":9,\"a\":4,\"x\":{\"a\":6,\"ab\":5,\"b\":9},\"aB\":9,"
             "\"\\u0061bc\":1,\"ab\":0}");
    AUTO(jscan) s = jscan_new(wanted, ARRAY_LEN(wanted));

    for (size_t cut = 0; cut <= text.len; cut++) {
        jscan_reset(s);
        ck_assert_int_ne(jscan_feed(s, text.data, cut, NULL), JSCAN_BAD);
        ck_assert_int_eq(jscan_feed(s, text.data + cut, text.len - cut, NULL), JSCAN_DONE);
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
            int64_t value = -1;

            ck_assert(jscan_int(jscan_get(s, i), &value));
            ck_assert_int_eq(value, (int64_t)i);
            ck_assert_uint_eq(jscan_get(s, i)->seen, 1);
        }
    }
}
END_TEST

START_TEST(as_many_paths_as_promised_are_followed)
{
    char names[JSCAN_PATHS][8];
    const char *wanted[JSCAN_PATHS];
    AUTO_CLEAR(buf) text = {.max = 10000};
    AUTO(jscan) s = NULL;
    struct err err;

    buf_add_string(&text, "{\"x\":{");
    for (int i = 0; i < JSCAN_PATHS; i++) {
        snprintf(names[i], sizeof names[i], "x.n%02d", i);
        wanted[i] = names[i];
        buf_printf(&text, "%s\"n%02d\":%d", i ? "," : "", i, i * i);
    }
    buf_add_string(&text, "}}");
    s = jscan_new(wanted, JSCAN_PATHS);
    ck_assert_int_eq(jscan_feed(s, text.data, text.len, &err), JSCAN_DONE);
    for (int i = 0; i < JSCAN_PATHS; i++) {
        int64_t value = -1;

        ck_assert(jscan_int(jscan_get(s, (size_t)i), &value));
        ck_assert_int_eq(value, i * i);
    }
}
END_TEST

START_TEST(nesting_is_bounded_exactly)
{
    for (int levels = JSCAN_DEPTH - 1; levels <= JSCAN_DEPTH + 1; levels++) {
        AUTO_CLEAR(buf) text = {.max = 2000};
        struct outcome r;

        for (int i = 0; i < levels; i++)
            buf_add_string(&text, i % 2 ? "{\"a\":" : "[");
        buf_add_string(&text, "1");
        for (int i = levels; i-- > 0;)
            buf_add_char(&text, i % 2 ? '}' : ']');
        scan(buf_span(&text), &r);
        ck_assert_int_eq(r.ok, levels <= JSCAN_DEPTH);
        ck_assert(r.ok || strstr(r.problem, "too deep"));
    }
}
END_TEST

START_TEST(long_texts_are_cut_and_say_so)
{
    for (size_t n = JSCAN_TEXT - 3; n < JSCAN_TEXT + 40; n++) {
        AUTO_CLEAR(buf) text = {.max = 2000};
        struct outcome r;

        buf_add_string(&text, "{\"a\":\"");
        for (size_t i = 0; i < n; i++)
            buf_add_char(&text, (char)('a' + i % 26));
        buf_add_string(&text, "\"}");
        scan(buf_span(&text), &r);
        ck_assert_int_eq(r.hits[0].text_cut, n >= JSCAN_TEXT);
        ck_assert_uint_eq(r.hits[0].text_len, n < JSCAN_TEXT ? n : JSCAN_TEXT - 1);
        ck_assert(memcmp(r.hits[0].text, text.data + 6, r.hits[0].text_len) == 0);
        ck_assert_uint_eq(r.hits[0].end - r.hits[0].start, n + 2);
    }
}
END_TEST

static const struct {
    const char *text;
    bool is_int;
    int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"17", true, 17},
    {"-17", true, -17},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"1.0", false, 0},
    {"1e2", false, 0},
    {"\"17\"", false, 0},
    {"null", false, 0},
    {"[17]", false, 0},
};

START_TEST(integers_are_those_without_fraction_within_64_bits)
{
    char text[64];
    struct outcome r;
    int64_t value = 5;

    snprintf(text, sizeof text, "{\"a\":%s}", integers[_i].text);
    scan(span_of(text), &r);
    ck_assert(r.ok);
    ck_assert_int_eq(jscan_int(&r.hits[0], &value), integers[_i].is_int);
    ck_assert_int_eq(value, integers[_i].is_int ? integers[_i].value : 5);
}
END_TEST

START_TEST(one_scanner_reads_text_after_text)
{
    AUTO(jscan) s = jscan_new(paths, PATHS);
    struct err err, again;

    ck_assert_int_eq(jscan_feed(s, "{\"a\":[[\"x", 9, &err), JSCAN_MORE);
    ck_assert(!jscan_end(s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "9 bytes"));
    jscan_reset(s);
    ck_assert_uint_eq(jscan_get(s, 0)->seen, 0);
    ck_assert_int_eq(jscan_feed(s, "[!", 2, &err), JSCAN_BAD);
    ck_assert_str_eq(err.text, "not JSON at byte 1: a value was expected");
    ck_assert_int_eq(jscan_feed(s, "1]", 2, &again), JSCAN_BAD);
    ck_assert_str_eq(err.text, again.text);
    ck_assert(!jscan_end(s, &again));
    ck_assert_str_eq(err.text, again.text);
    jscan_reset(s);
    ck_assert_int_eq(jscan_feed(s, "{\"a\":7}", 7, &err), JSCAN_DONE);
    ck_assert_int_eq(jscan_feed(s, " \n", 2, &err), JSCAN_DONE);
    ck_assert(jscan_end(s, &err));
    ck_assert_str_eq(jscan_get(s, 0)->text, "7");
    ck_assert_int_eq(jscan_feed(s, " 8", 2, &err), JSCAN_BAD);
    ck_assert_str_eq(err.text, "not JSON at byte 10: something follows the value");
}
END_TEST

/* Around the 16 bytes that are skipped at a time, at every distance from the start and the end. */
START_TEST(nothing_special_is_skipped_over_in_long_strings)
{
    static const struct {
        const char *bytes;
        bool ok;
    } special[] = {{"\\n", true},  {"\\u00e9", true}, {"\xc3\xa9", true}, {"\xe4\xbd\xa0", true},
                   {"\n", false},  {"\x1f", false},   {"\x80", false},    {"\xc3", false},
                   {"\\q", false}, {"\"", false}};

    for (size_t before = 0; before < 50; before++) {
        for (size_t i = 0; i < ARRAY_LEN(special); i++) {
            AUTO_CLEAR(buf) text = {.max = 200};

            buf_printf(&text, "\"%.*s%s", (int)before,
                       "01234567890123456789012345678901234567890123456789", special[i].bytes);
            buf_printf(&text, "%.*s\"", (int)(49 - before),
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
            ck_assert_int_eq(accepts(buf_span(&text)), special[i].ok);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("jscan");

    tcase_add_loop_test(tcase, valid_texts_are_taken, 0, ARRAY_LEN(valid));
    tcase_add_loop_test(tcase, invalid_texts_are_refused, 0, ARRAY_LEN(invalid));
    tcase_add_test(tcase, the_result_does_not_depend_on_where_the_text_is_cut);
    tcase_add_test(tcase, fields_are_found_with_what_is_known_of_them);
    tcase_add_test(tcase, a_star_means_elements_and_a_name_members);
    tcase_add_test(tcase, names_that_begin_alike_are_told_apart_wherever_they_are_cut);
    tcase_add_test(tcase, as_many_paths_as_promised_are_followed);
    tcase_add_test(tcase, nesting_is_bounded_exactly);
    tcase_add_test(tcase, long_texts_are_cut_and_say_so);
    tcase_add_loop_test(tcase, integers_are_those_without_fraction_within_64_bits, 0,
                        ARRAY_LEN(integers));
    tcase_add_test(tcase, one_scanner_reads_text_after_text);
    tcase_add_test(tcase, nothing_special_is_skipped_over_in_long_strings);
    return run_tests(tcase, "jscan");
}
