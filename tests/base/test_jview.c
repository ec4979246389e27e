/* test_jview.c - looking into a text finds what jansson finds in it, and stays inside of any bytes. */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>

#include "lib/base/jview.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

static const char text[] =
    " {\"a\" : 1.50e3 ,\"b\":[ ],\"c\":{\"d\":[1,{\"e\":\"x]}\\\"\"},\"\\\\\"],\"a\":null},\r\n"
    "\"\\u0061b\":\"\\u00e9\\ud83d\\ude00\\n\\/\",\"last\":[true , false,null,\"\"] , \"a\": -7 } ";

static struct span document(void)
{
    return (struct span){text + 1, sizeof text - 3};
}

START_TEST(members_are_found_by_what_their_names_mean)
{
    ck_assert(span_equal(jview_get(document(), "a"), SPAN("-7")));
    ck_assert(span_equal(jview_get(document(), "b"), SPAN("[ ]")));
    ck_assert(span_equal(jview_get(jview_get(document(), "c"), "a"), SPAN("null")));
    ck_assert_ptr_null(jview_given(jview_get(document(), "c"), "a").data);
    ck_assert(jview_is_string(jview_get(document(), "ab")));
    ck_assert_ptr_null(jview_get(document(), "d").data);
    ck_assert_ptr_null(jview_get(jview_get(document(), "last"), "a").data);
    ck_assert_ptr_null(jview_get((struct span){NULL, 0}, "a").data);
}
END_TEST

START_TEST(elements_come_in_order_whatever_brackets_are_in_their_strings)
{
    static const char *const want[] = {"1", "{\"e\":\"x]}\\\"\"}", "\"\\\\\""};
    struct jview v = jview_of(jview_get(jview_get(document(), "c"), "d"));
    struct span item;

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert(jview_item(&v, &item));
        ck_assert_msg(span_equal(item, span_of(want[i])), "%.*s", SPAN_FMT(item));
    }
    ck_assert(!jview_item(&v, &item));
    v = jview_of(jview_get(document(), "b"));
    ck_assert(!jview_item(&v, &item));
    v = jview_of(SPAN("7"));
    ck_assert(!jview_item(&v, &item));
}
END_TEST

START_TEST(a_string_means_what_jansson_reads)
{
    struct span literal = jview_get(document(), "ab");
    json_t *json = json_loadb(literal.data, literal.len, JSON_DECODE_ANY, NULL);
    AUTO_CLEAR(buf) out = {.max = 64};

    ck_assert_ptr_nonnull(json);
    jview_unescape(literal, &out);
    ck_assert_str_eq(out.data, json_string_value(json));
    json_decref(json);
    ck_assert(jview_says(SPAN("\"a\\u0062\""), "ab"));
    ck_assert(!jview_says(SPAN("\"ab\""), "a"));
    ck_assert(!jview_says(SPAN("ab"), "ab"));
}
END_TEST

/* Walks all that can be reached. */
static size_t walk(struct span value)
{
    struct jview members = jview_of(value), items = members;
    AUTO_CLEAR(buf) plain = {.max = sizeof text};
    struct span name, child;
    size_t n = 1;

    jview_unescape(value, &plain);
    if (jview_is_array(value))
        while (jview_item(&items, &child))
            n += walk(child);
    else
        while (jview_member(&members, &name, &child))
            n += walk(name) + walk(child);
    return n;
}

START_TEST(a_text_that_is_cut_or_damaged_is_never_left)
{
    ck_assert_uint_eq(walk(document()), 26);
    for (size_t start = 0; start < sizeof text - 1; start++)
        for (size_t end = start; end < sizeof text; end++) {
            char *piece = xstrndup(text + start, end - start); /* of its own: sanitizers look */

            walk((struct span){piece, strlen(piece)});
            free(piece);
        }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("views");

    tcase_add_test(t, members_are_found_by_what_their_names_mean);
    tcase_add_test(t, elements_come_in_order_whatever_brackets_are_in_their_strings);
    tcase_add_test(t, a_string_means_what_jansson_reads);
    tcase_add_test(t, a_text_that_is_cut_or_damaged_is_never_left);
    return run_tests(t, "jview");
}
