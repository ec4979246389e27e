/* test_openai_request.c - edits are checked against jansson's idea of the same change, over random bodies. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/openai_request.h"
#include "lib/base/jscan.h"
#include "tests/base/run.h"

#define ROUNDS 4000
#define MODEL  "upstream \"name\" é"

/* A small generator of its own, so that a failing round can be repeated from its number. */
struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned sides)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(d->state >> 33) % sides;
}

static struct span value_of(struct span body, const char *path)
{
    const char *paths[] = {path};
    AUTO(jscan) scanner = jscan_new(paths, 1);
    const struct jscan_hit *hit = jscan_get(scanner, 0);
    struct err err;

    ck_assert_int_eq(jscan_feed(scanner, body.data, body.len, &err), JSCAN_DONE);
    if (!hit->seen)
        return (struct span){NULL, 0};
    return (struct span){body.data + hit->start, (size_t)(hit->end - hit->start)};
}

static struct backend_request request_of(const char *body, int64_t cap)
{
    struct backend_request r = {.body = span_of(body), .model = MODEL, .output_cap = cap};

    r.model_value = value_of(r.body, "model");
    r.stream_options = value_of(r.body, "stream_options");
    r.cap_value = value_of(r.body, "max_completion_tokens");
    if (!r.cap_value.data)
        r.cap_value = value_of(r.body, "max_tokens");
    r.stream = span_equal(value_of(r.body, "stream"), SPAN("true"));
    return r;
}

static void check_edit(const char *body, int64_t cap, const char *want)
{
    struct backend_request r = request_of(body, cap);
    struct span edited;
    struct buf out;
    struct err err;

    ck_assert_msg(openai_request_edit(&r, &out, &edited, &err), "%s", err.text);
    ck_assert_msg(span_equal(edited, span_of(want)), "%.*s instead of %s", SPAN_FMT(edited), want);
    buf_clear(&out);
}

START_TEST(only_what_must_differ_is_changed)
{
    const char *m = "\"upstream \\\"name\\\" é\"";
    char want[512];

    snprintf(want, sizeof want, "{\"max_tokens\":7, \"model\" : %s ,\"t\":0.10,\"messages\":[]}",
             m);
    check_edit("{ \"model\" : \"a\" ,\"t\":0.10,\"messages\":[]}", 0,
               "{ \"model\" : \"upstream "
               "\\\"name\\\" é\" ,\"t\":0.10,\"messages\":[]}");
    check_edit("{ \"model\" : \"a\" ,\"t\":0.10,\"messages\":[]}", 7, want);
    snprintf(want, sizeof want, "{\"model\":%s,\"max_completion_tokens\":7}", m);
    check_edit("{\"model\":\"a\",\"max_completion_tokens\":8}", 7, want);
    check_edit("{\"model\":\"a\",\"max_completion_tokens\":null}", 7, want);
    check_edit("{\"model\":\"a\",\"max_completion_tokens\":7.5e1}", 7, want);
    check_edit("{\"model\":\"a\",\"max_completion_tokens\":99999999999999999999}", 7, want);
    check_edit("{\"model\":\"a\",\"max_completion_tokens\":7}", 7, want);
    snprintf(want, sizeof want, "{\"model\":%s,\"max_tokens\":3}", m);
    check_edit("{\"model\":\"a\",\"max_tokens\":3}", 7, want);
}
END_TEST

START_TEST(a_stream_is_asked_for_its_usage_and_keeps_the_other_options)
{
    const char *start = "{\"model\":\"upstream \\\"name\\\" é\",\"stream\":true";
    static const char *const options[][2] = {
        {"null", "{\"include_usage\":true}"},
        {"{}", "{\"include_usage\":true}"},
        {"{ \n}", "{\"include_usage\":true \n}"},
        {"{\"include_usage\":false}", "{\"include_usage\":true}"},
        {"{\"a\":[1],\"include_usage\" : null }", "{\"a\":[1],\"include_usage\" : true }"},
        {"{ \"include_obfuscation\":false}",
         "{\"include_usage\":true, \"include_obfuscation\":false}"},
        {"{\"x\":{\"include_usage\":false}}",
         "{\"include_usage\":true,\"x\":{\"include_usage\":false}}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char body[256], want[256];

        snprintf(body, sizeof body, "%s,\"stream_options\":%s}", start, options[i][0]);
        snprintf(want, sizeof want, "%s,\"stream_options\":%s}", start, options[i][1]);
        check_edit(body, 0, want);
    }
    check_edit("{\"stream\":true,\"model\":\"a\"}", 0,
               "{\"stream_options\":{\"include_usage\":true},\"stream\":true,"
               "\"model\":\"upstream \\\"name\\\" é\"}");
}
END_TEST

START_TEST(a_body_that_needs_no_edit_is_not_copied)
{
    const char *body = "{\"model\":\"upstream \\\"name\\\" é\",\"max_tokens\":5,\"stream\":true,"
                       "\"stream_options\":{\"include_usage\":true}}";
    struct backend_request r = request_of(body, 5);
    struct span edited;
    struct buf out;
    struct err err;

    ck_assert(openai_request_edit(&r, &out, &edited, &err));
    ck_assert_ptr_eq(edited.data, body);
    ck_assert_uint_eq(edited.len, strlen(body));
    ck_assert_ptr_null(out.data);
    buf_clear(&out);
}
END_TEST

START_TEST(ambiguous_stream_options_are_refused)
{
    static const char *const bodies[] = {
        "{\"model\":\"a\",\"stream\":true,\"stream_options\":7}",
        "{\"model\":\"a\",\"stream\":true,\"stream_options\":[]}",
        "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
        "\"include_usage\":false}}",
        "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
        "\"include\\u005fusage\":false}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct backend_request r = request_of(bodies[i], 5);
        struct span edited = {NULL, 0};
        struct buf out;
        struct err err = {.code = ERR_NONE};

        ck_assert(!openai_request_edit(&r, &out, &edited, &err));
        ck_assert_int_eq(err.code, ERR_INPUT);
        ck_assert_ptr_null(edited.data);
        buf_clear(&out);
    }
}
END_TEST

/* --- random bodies --- */

static json_t *random_value(struct dice *d, int depth)
{
    json_t *v;

    switch (roll(d, depth > 0 ? 7 : 5)) {
    case 0:
        return json_integer((json_int_t)roll(d, 1000) - 500);
    case 1:
        return json_string("text \" \\ { } [ ] , : 世界");
    case 2:
        return json_null();
    case 3:
        return json_boolean(roll(d, 2));
    case 4:
        return json_real(0.25);
    case 5:
        v = json_array();
        for (unsigned i = roll(d, 4); i > 0; i--)
            json_array_append_new(v, random_value(d, depth - 1));
        return v;
    default:
        v = json_object();
        for (unsigned i = roll(d, 4); i > 0; i--) {
            static const char *const names[] = {"model", "max_tokens", "stream_options", "x", ""};

            json_object_set_new(v, names[roll(d, 5)], random_value(d, depth - 1));
        }
        return v;
    }
}

static json_t *random_options(struct dice *d)
{
    json_t *options = json_object();

    if (roll(d, 3) == 0)
        json_object_set_new(options, "include_obfuscation", json_boolean(roll(d, 2)));
    if (roll(d, 2) == 0)
        json_object_set_new(options, "include_usage", json_boolean(roll(d, 2)));
    if (roll(d, 3) == 0)
        json_object_set_new(options, "other", random_value(d, 2));
    return options;
}

/* Members in random order; some absent. */
static json_t *random_body(struct dice *d)
{
    json_t *body = json_object();
    unsigned first = roll(d, 7), stride = 1 + roll(d, 6);

    for (unsigned i = 0; i < 7; i++) {
        switch ((first + i * stride) % 7) {
        case 0:
            json_object_set_new(body, "model", json_string(roll(d, 4) ? "demo/up" : MODEL));
            break;
        case 1:
            if (roll(d, 2))
                json_object_set_new(body, roll(d, 2) ? "max_tokens" : "max_completion_tokens",
                                    roll(d, 4) ? json_integer(roll(d, 20)) : json_null());
            break;
        case 2:
            json_object_set_new(body, "stream", json_boolean(roll(d, 3)));
            break;
        case 3:
            if (roll(d, 2))
                json_object_set_new(body, "stream_options",
                                    roll(d, 5) ? random_options(d) : json_null());
            break;
        case 4:
            json_object_set_new(body, "messages", random_value(d, 4));
            break;
        default:
            json_object_set_new(body, roll(d, 2) ? "tools" : "metadata", random_value(d, 3));
        }
    }
    return body;
}

/* The same change on a tree, which `body` becomes. */
static void change_tree(json_t *body, int64_t cap)
{
    const char *names[] = {"max_completion_tokens", "max_tokens"};
    const char *name = json_object_get(body, names[0]) ? names[0] : names[1];
    const json_t *stated = json_object_get(body, name);
    json_t *options = json_object_get(body, "stream_options");

    json_object_set_new(body, "model", json_string(MODEL));
    if (!json_is_integer(stated) || json_integer_value(stated) > cap)
        json_object_set_new(body, name, json_integer(cap));
    if (!json_is_true(json_object_get(body, "stream")))
        return;
    if (!json_is_object(options)) {
        options = json_object();
        json_object_set_new(body, "stream_options", options);
    }
    json_object_set_new(options, "include_usage", json_true());
}

START_TEST(the_edited_body_is_the_tree_with_those_members_changed)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct dice d = {round};
        json_t *tree = random_body(&d), *got;
        int64_t cap = 1 + roll(&d, 15);
        char *text;
        struct backend_request r;
        struct span edited;
        struct buf out;
        struct err err;

        if (!json_object_get(tree, "model"))
            json_object_set_new(tree, "model", json_string("demo/up"));
        text = json_dumps(tree, roll(&d, 2) ? JSON_COMPACT : JSON_INDENT(3));
        r = request_of(text, cap);
        ck_assert_msg(openai_request_edit(&r, &out, &edited, &err), "%u: %s", round, err.text);
        got = json_loadb(edited.data, edited.len, JSON_REJECT_DUPLICATES, NULL);
        change_tree(tree, cap);
        ck_assert_msg(got && json_equal(got, tree), "round %u: %s became %.*s", round, text,
                      SPAN_FMT(edited));
        json_decref(got);
        json_decref(tree);
        free(text);
        buf_clear(&out);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("openai_request");

    tcase_add_test(cases, only_what_must_differ_is_changed);
    tcase_add_test(cases, a_stream_is_asked_for_its_usage_and_keeps_the_other_options);
    tcase_add_test(cases, a_body_that_needs_no_edit_is_not_copied);
    tcase_add_test(cases, ambiguous_stream_options_are_refused);
    tcase_add_test(cases, the_edited_body_is_the_tree_with_those_members_changed);
    return run_tests(cases, "openai_request");
}
