/* JSON trees and the writer: what is written is read back the same, and mistakes are named where they stand. */
#include <string.h>

#include "lib/base/json.h"
#include "tests/base/chance.h"
#include "tests/base/run.h"

static json_t *parsed(const char *text)
{
    json_t *value = json_parse(span_of(text), NULL);

    ck_assert_ptr_nonnull(value);
    return value;
}

static const struct {
    const char *text, *place;
} broken[] = {
    {"", "line 1, column 0"},
    {"{\n  \"a\": 1,\n  \"a\": 2\n}", "line 3, column 5"},
    {"{\n\"a\": }", "line 2, column 6"},
    {"[1] x", "line 1, column 5"},
    {"[9223372036854775808]", "line 1"},
    {"[\"\xff\"]", "line 1"},
    {"[\"\\u0000\"]", "line 1"},
};

START_TEST(a_mistake_is_found_at_its_place)
{
    struct err err;

    ck_assert_ptr_null(json_parse(span_of(broken[_i].text), &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strncmp(err.text, broken[_i].place, strlen(broken[_i].place)) == 0, "%s",
                  err.text);
}
END_TEST

START_TEST(a_null_span_is_an_empty_text)
{
    ck_assert_ptr_null(json_parse((struct span){NULL, 0}, NULL));
}
END_TEST

START_TEST(members_are_got_by_name)
{
    AUTO_JSON o = parsed("{\"s\":\"x\",\"i\":-5,\"b\":true,\"a\":[1],\"o\":{}}");
    const char *s = NULL;
    json_t *a = NULL, *nested = NULL;
    int64_t i = 0;
    bool b = false;

    ck_assert(json_get_string(o, "s", &s, "it", NULL));
    ck_assert_str_eq(s, "x");
    ck_assert(json_get_int(o, "i", &i, "it", NULL));
    ck_assert_int_eq(i, -5);
    ck_assert(json_get_bool_or(o, "b", &b, "it", NULL));
    ck_assert(b);
    ck_assert(json_get_array_or(o, "a", &a, "it", NULL));
    ck_assert_uint_eq(json_array_size(a), 1);
    ck_assert(json_get_object_or(o, "o", &nested, "it", NULL));
    ck_assert(json_is_object(nested));
}
END_TEST

START_TEST(missing_optional_members_leave_what_was_there)
{
    AUTO_JSON o = parsed("{}");
    const char *s = "default";
    json_t *a = NULL;
    int64_t i = 7;
    bool b = true;

    ck_assert(json_get_string_or(o, "s", &s, "it", NULL));
    ck_assert(json_get_int_or(o, "i", &i, "it", NULL));
    ck_assert(json_get_bool_or(o, "b", &b, "it", NULL));
    ck_assert(json_get_array_or(o, "a", &a, "it", NULL));
    ck_assert(json_get_object_or(o, "o", &a, "it", NULL));
    ck_assert_str_eq(s, "default");
    ck_assert(i == 7 && b && !a);
}
END_TEST

START_TEST(missing_and_wrong_members_are_named)
{
    AUTO_JSON o = parsed("{\"s\":1,\"i\":1.5,\"b\":null,\"a\":{},\"o\":[],\"n\":null}");
    AUTO_JSON array = parsed("[]");
    const char *s;
    json_t *a;
    int64_t i;
    bool b;
    struct err err;

    ck_assert(!json_get_string(o, "none", &s, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"none\" is missing");
    ck_assert(!json_get_int(o, "none", &i, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"none\" is missing");
    ck_assert(!json_get_string(o, "s", &s, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"s\" must be a string, not an integer");
    ck_assert(!json_get_string_or(o, "n", &s, "model x", &err));
    ck_assert(!json_get_int_or(o, "i", &i, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"i\" must be an integer, not a number with a fraction");
    ck_assert(!json_get_bool_or(o, "b", &b, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"b\" must be true or false, not null");
    ck_assert(!json_get_array_or(o, "a", &a, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"a\" must be an array, not an object");
    ck_assert(!json_get_object_or(o, "o", &a, "model x", &err));
    ck_assert_str_eq(err.text, "model x: \"o\" must be an object, not an array");
    ck_assert(!json_get_int(array, "i", &i, "model x", &err));
    ck_assert_str_eq(err.text, "model x must be an object, not an array");
    ck_assert(!json_get_string(NULL, "i", &s, "model x", &err));
    ck_assert_str_eq(err.text, "model x must be an object, not nothing");
}
END_TEST

START_TEST(unknown_members_are_named)
{
    static const char *const names[] = {"a", "b", NULL};
    AUTO_JSON good = parsed("{\"b\":1}");
    AUTO_JSON bad = parsed("{\"a\":1,\"c\":1}");
    struct err err;

    ck_assert(json_only_members(good, names, "price p", &err));
    ck_assert(!json_only_members(bad, names, "price p", &err));
    ck_assert_str_eq(err.text, "price p: \"c\" is not a known member");
}
END_TEST

START_TEST(a_tree_is_dumped_compact_and_in_order)
{
    static const char text[] = "{\"z\":[1,-2,null,true],\"a\":{\"\xc3\xa9\":\"\\n\"}}";
    AUTO_JSON value = parsed(text);
    AUTO_JSON scalar = parsed("\"x\"");
    AUTO_CLEAR(buf) out = {.max = 1000};
    AUTO_CLEAR(buf) small = {.max = 10};

    ck_assert(json_dump(value, &out));
    ck_assert_str_eq(out.data, text);
    ck_assert(json_dump(scalar, &out));
    ck_assert(!json_dump(value, &small));
    ck_assert(small.failed);
}
END_TEST

START_TEST(the_writer_sets_commas_and_nests)
{
    AUTO_CLEAR(buf) out = {.max = 1000};
    struct jw w;

    jw_init(&w, &out);
    jw_object(&w);
    jw_string_member(&w, "s", "x");
    jw_span_member(&w, "p", SPAN("y"));
    jw_int_member(&w, "min", INT64_MIN);
    jw_int_member(&w, "max", INT64_MAX);
    jw_bool_member(&w, "b", false);
    jw_time_member(&w, "t", 0);
    jw_key(&w, "a");
    jw_array(&w);
    jw_object(&w);
    jw_object_end(&w);
    jw_array(&w);
    jw_array_end(&w);
    jw_null(&w);
    jw_int(&w, 0);
    jw_raw(&w, SPAN("{\"raw\":1}"));
    jw_array_end(&w);
    jw_bool_member(&w, "last", true);
    jw_object_end(&w);
    ck_assert_str_eq(out.data, "{\"s\":\"x\",\"p\":\"y\",\"min\":-9223372036854775808,"
                               "\"max\":9223372036854775807,\"b\":false,"
                               "\"t\":\"1970-01-01T00:00:00.000Z\","
                               "\"a\":[{},[],null,0,{\"raw\":1}],\"last\":true}");
}
END_TEST

START_TEST(the_writer_nests_32_deep)
{
    AUTO_CLEAR(buf) out = {.max = 1000};
    struct jw w;

    jw_init(&w, &out);
    for (int i = 0; i < 32; i++) {
        jw_array(&w);
        jw_int(&w, i);
    }
    for (int i = 0; i < 32; i++)
        jw_array_end(&w);
    ck_assert_ptr_nonnull(strstr(out.data, ",[30,[31]]"));
    json_decref(parsed(out.data));
}
END_TEST

/* Any valid UTF-8 comes back as it was; whatever else was there, the result is JSON. */
START_TEST(every_string_survives_writing)
{
    static const char *const pieces[] = {"a",
                                         "a run longer than sixteen",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x01",
                                         "\x7f",
                                         "\t",
                                         "/",
                                         "\xc3\xa9",
                                         "\xe4\xbd\xa0",
                                         "\xf0\x9f\x98\x80"};

    chance_begin();
    for (int round = 0; round < 3000; round++) {
        AUTO_CLEAR(buf) text = {.max = 1000};
        AUTO_CLEAR(buf) out = {.max = 10000};
        AUTO_JSON back = NULL;
        struct jw w;

        for (size_t n = chance_below(40); n > 0; n--)
            buf_add_string(&text, pieces[chance_below(ARRAY_LEN(pieces))]);
        jw_init(&w, &out);
        jw_span(&w, buf_span(&text));
        back = json_parse(buf_span(&out), NULL);
        ck_assert_str_eq(json_string_value(back), buf_span(&text).data);
    }
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_replaced)
{
    chance_begin();
    for (int round = 0; round < 5000; round++) {
        char bytes[20];
        AUTO_CLEAR(buf) out = {.max = 1000};
        AUTO_JSON back = NULL;
        struct jw w;

        chance_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = bytes[i] ? bytes[i] : 'x';
        jw_init(&w, &out);
        jw_span(&w, (struct span){bytes, chance_below(sizeof bytes)});
        back = json_parse(buf_span(&out), NULL);
        ck_assert_ptr_nonnull(back);
    }
    AUTO_CLEAR(buf) out = {.max = 100};
    struct jw w;

    jw_init(&w, &out);
    jw_span(&w, SPAN("a\xff\xe4\xbdz"));
    ck_assert_str_eq(out.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
}
END_TEST

START_TEST(a_full_buffer_fails_the_writer_softly)
{
    for (size_t max = 0; max < 20; max++) {
        AUTO_CLEAR(buf) out = {.max = max};
        struct jw w;

        jw_init(&w, &out);
        jw_object(&w);
        jw_string_member(&w, "name", "value\n");
        jw_object_end(&w);
        ck_assert_int_eq(out.failed, max < strlen("{\"name\":\"value\\n\"}"));
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("json");

    tcase_add_loop_test(tcase, a_mistake_is_found_at_its_place, 0, ARRAY_LEN(broken));
    tcase_add_test(tcase, a_null_span_is_an_empty_text);
    tcase_add_test(tcase, members_are_got_by_name);
    tcase_add_test(tcase, missing_optional_members_leave_what_was_there);
    tcase_add_test(tcase, missing_and_wrong_members_are_named);
    tcase_add_test(tcase, unknown_members_are_named);
    tcase_add_test(tcase, a_tree_is_dumped_compact_and_in_order);
    tcase_add_test(tcase, the_writer_sets_commas_and_nests);
    tcase_add_test(tcase, the_writer_nests_32_deep);
    tcase_add_test(tcase, every_string_survives_writing);
    tcase_add_test(tcase, bytes_that_are_not_utf8_are_replaced);
    tcase_add_test(tcase, a_full_buffer_fails_the_writer_softly);
    return run_tests(tcase, "json");
}
