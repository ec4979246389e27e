/* What a key opens: patterns of models, scopes, places, and what is refused when a key is made. */
#include <check.h>
#include <stdlib.h>

#include "gateway/key_access.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

static struct key_access *of(const char *json)
{
    struct key_access *a = NULL;
    struct err err;

    ck_assert_msg(key_access_parse(span_of(json), &a, &err), "%s", err.text);
    return a;
}

static bool has_model(const char *pattern, const char *model)
{
    AUTO_STRING json = xasprintf("{\"models\":[\"%s\"]}", pattern);
    AUTO(key_access) a = of(json);

    return key_access_has_model(a, model);
}

START_TEST(a_star_stands_for_any_characters)
{
    ck_assert(has_model("demo/*", "demo/echo"));
    ck_assert(has_model("demo/*", "demo/"));
    ck_assert(!has_model("demo/*", "demos/echo"));
    ck_assert(has_model("*", "demo/echo"));
    ck_assert(has_model("*/echo", "demo/echo"));
    ck_assert(!has_model("*/echo", "demo/echo2"));
    ck_assert(has_model("d*o/e*o", "demo/echo"));
    ck_assert(has_model("*ab*ab", "xababab"));
    ck_assert(!has_model("*ab*abc", "xababab"));
    ck_assert(has_model("demo/echo**", "demo/echo"));
    ck_assert(!has_model("demo/echo", "demo/ech"));
    ck_assert(!has_model("demo/ech", "demo/echo"));
}
END_TEST

START_TEST(any_pattern_of_a_list_is_enough)
{
    AUTO(key_access) a = of("{\"models\":[\"a/*\",\"b/one\"]}");

    ck_assert(key_access_has_model(a, "a/x"));
    ck_assert(key_access_has_model(a, "b/one"));
    ck_assert(!key_access_has_model(a, "b/two"));
}
END_TEST

START_TEST(what_is_not_named_narrows_nothing)
{
    static const char *const open[] = {"", "null", "{}", "{\"models\":[],\"ips\":null}"};

    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        ck_assert_ptr_null(of(open[i]));
    ck_assert(key_access_opens(NULL, SCOPE_CALL));
    ck_assert(key_access_has_model(NULL, "any/model"));
    ck_assert(!key_access_names_places(NULL));
    AUTO(key_access) models = of("{\"models\":[\"a/*\"]}");
    ck_assert(key_access_opens(models, SCOPE_USAGE));
    ck_assert(!key_access_names_places(models));
}
END_TEST

START_TEST(a_key_that_may_only_read_calls_no_model)
{
    AUTO(key_access) a = of("{\"scopes\":[\"usage\"]}");

    ck_assert(key_access_opens(a, SCOPE_USAGE));
    ck_assert(key_access_opens(a, SCOPE_NONE));
    ck_assert(!key_access_opens(a, SCOPE_CALL));
    ck_assert(!key_access_has_model(a, "demo/echo"));
}
END_TEST

/* What is put together of lists that were written one by one is what a reader of the whole has. */
START_TEST(lists_stand_in_one_order_and_spelling)
{
    AUTO(key_access) a = of("{\"ips\":[\"::1\"], \"scopes\": [\"usage\", \"call\"],\"models\":[]}");
    AUTO(key_access) again = of("{\"scopes\":[\"usage\",\"call\"],\"ips\":[\"::1\"]}");

    ck_assert(span_equal(key_access_list(a, "scopes"), SPAN("[\"usage\",\"call\"]")));
    ck_assert(span_equal(key_access_list(a, "ips"), SPAN("[\"::1\"]")));
    ck_assert(span_equal(key_access_list(a, "models"), SPAN("null")));
    ck_assert(span_equal(key_access_list(NULL, "ips"), SPAN("null")));
    ck_assert(span_equal(key_access_json(a), key_access_json(again)));
    ck_assert(span_equal(key_access_json(a),
                         SPAN("{\"scopes\":[\"usage\",\"call\"],\"ips\":[\"::1\"]}")));
}
END_TEST

START_TEST(a_key_comes_from_its_places_alone)
{
    AUTO(key_access) a = of("{\"ips\":[\"10.0.0.0/8\",\"::1\"]}");
    struct addr in, also, out;

    ck_assert(addr_parse("10.9.8.7:1", &in, NULL));
    ck_assert(addr_parse("[::1]:1", &also, NULL));
    ck_assert(addr_parse("11.0.0.1:1", &out, NULL));
    ck_assert(key_access_has_place(a, &in));
    ck_assert(key_access_has_place(a, &also));
    ck_assert(!key_access_has_place(a, &out));
    ck_assert(key_access_has_place(NULL, &out));
}
END_TEST

START_TEST(it_is_written_as_it_is_read)
{
    static const char text[] =
        "{\"scopes\":[\"call\"],\"models\":[\"demo/*\"],\"ips\":[\"10.0.0.0/8\"]}";
    AUTO(key_access) a = of(text);

    ck_assert(span_equal(key_access_json(a), span_of(text)));
    ck_assert(span_equal(key_access_json(NULL), SPAN("")));
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    static const char *const wrong[][2] = {
        {"{\"scopes\":[\"admin\"]}", "'admin' is no scope"},
        {"{\"scopes\":\"call\"}", "'scopes' must be a list"},
        {"{\"models\":[7]}", "'models' must be a list of texts"},
        {"{\"models\":[\"\"]}", "is no model"},
        {"{\"models\":[\"a b\"]}", "'a b' is no model"},
        {"{\"ips\":[\"10.0.0.1/8\"]}", "beyond its prefix"},
        {"{\"ips\":[\"everywhere\"]}", "'everywhere' is no address"},
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct key_access *a = NULL;
        struct err err;

        ck_assert(!key_access_parse(span_of(wrong[i][0]), &a, &err));
        ck_assert_ptr_nonnull(strstr(err.text, wrong[i][1]));
    }
}
END_TEST

START_TEST(a_list_has_an_end)
{
    AUTO_CLEAR(buf) json = {.max = 65536};
    struct key_access *a = NULL;
    struct err err;

    buf_add_string(&json, "{\"models\":[\"m\"");
    for (int i = 0; i < ACCESS_LIST_MAX; i++)
        buf_add_string(&json, ",\"m\"");
    buf_add_string(&json, "]}");
    ck_assert(!key_access_parse(buf_span(&json), &a, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("key_access");

    tcase_add_test(t, a_star_stands_for_any_characters);
    tcase_add_test(t, any_pattern_of_a_list_is_enough);
    tcase_add_test(t, what_is_not_named_narrows_nothing);
    tcase_add_test(t, a_key_that_may_only_read_calls_no_model);
    tcase_add_test(t, lists_stand_in_one_order_and_spelling);
    tcase_add_test(t, a_key_comes_from_its_places_alone);
    tcase_add_test(t, it_is_written_as_it_is_read);
    tcase_add_test(t, what_is_wrong_is_named);
    tcase_add_test(t, a_list_has_an_end);
    return run_tests(t, "key_access");
}
