/* Bodies of calls: what is read, where it stands, and every mistake with its sentence. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/call_request.h"
#include "tests/base/run.h"

static struct jscan *scanner;

static void open_scanner(void)
{
    scanner = call_request_scanner();
}

static void close_scanner(void)
{
    jscan_free(scanner);
}

static struct call_request read_good(const char *body)
{
    struct call_request c;
    const char *param;
    struct err err;

    ck_assert_msg(call_request_read(scanner, SURFACE_CHAT, span_of(body), &c, &param, &err),
                  "%s: %s", body, err.text);
    ck_assert_ptr_null(param);
    return c;
}

START_TEST(a_plain_body_is_read_with_defaults)
{
    struct call_request c = read_good("{\"model\":\"demo/echo\",\"messages\":[{}]}");

    ck_assert_str_eq(c.model, "demo/echo");
    ck_assert(!c.stream && !c.usage_wanted);
    ck_assert_int_eq(c.n, 1);
    ck_assert_int_eq(c.cap, 0);
    ck_assert_ptr_null(c.cap_value.data);
    ck_assert_ptr_null(c.stream_options.data);
    ck_assert(span_equal(c.model_value, SPAN("\"demo/echo\"")));
}
END_TEST

START_TEST(every_field_is_found_wherever_it_stands)
{
    struct call_request c = read_good(
        " {\"x\":{\"model\":1,\"n\":\"a\"}, \"stream_options\" : {\"a\":1,\"include_usage\":true} "
        ",\"n\":3,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"model\"}],\"max_completion_tokens\":  77,"
        "\"stream\":true,\"model\":\"a\\/b\"} ");

    ck_assert_str_eq(c.model, "a/b");
    ck_assert(span_equal(c.model_value, SPAN("\"a\\/b\"")));
    ck_assert(span_equal(c.stream_options, SPAN("{\"a\":1,\"include_usage\":true}")));
    ck_assert(span_equal(c.cap_value, SPAN("77")));
    ck_assert(c.stream && c.usage_wanted);
    ck_assert_int_eq(c.cap, 77);
    ck_assert_int_eq(c.n, 3);
}
END_TEST

START_TEST(null_means_not_given)
{
    struct call_request c = read_good(
        "{\"model\":\"m\",\"messages\":[{}],\"stream\":null,\"stream_options\":null,\"n\":null,"
        "\"max_tokens\":null,\"max_completion_tokens\":5}");

    ck_assert(!c.stream && !c.usage_wanted);
    ck_assert_int_eq(c.n, 1);
    ck_assert_int_eq(c.cap, 5);
    ck_assert(span_equal(c.cap_value, SPAN("5")));
    c = read_good("{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":null}");
    ck_assert_int_eq(c.cap, 0);
    ck_assert(span_equal(c.cap_value, SPAN("null")));
}
END_TEST

static const struct mistake {
    const char *body, *param, *says;
} mistakes[] = {
    {"", NULL, "JSON"},
    {"{", NULL, "JSON"},
    {"{\"model\":\"m\",\"messages\":[{}]}x", NULL, "JSON"},
    {"{\"model\":\"m\" \"messages\":[{}]}", NULL, "JSON"},
    {"{\"model\":\"\xff\",\"messages\":[{}]}", NULL, "JSON"},
    {"{\"model\":\"m\",\"messages\":[{}],\"temperature\":01}", NULL, "JSON"},
    {"[]", NULL, "object"},
    {" \"x\"", NULL, "object"},
    {"{}", "model", "required"},
    {"{\"model\":null,\"messages\":[{}]}", "model", "required"},
    {"{\"model\":7,\"messages\":[{}]}", "model", "a string"},
    {"{\"model\":\"m\\u0000\",\"messages\":[{}]}", "model", "no character U+0000"},
    {"{\"model\":\"\\u0000\",\"messages\":[{}]}", "model", "no character U+0000"},
    {"{\"model\":\"m\"}", "messages", "required"},
    {"{\"model\":\"m\",\"messages\":{}}", "messages", "an array"},
    {"{\"model\":\"m\",\"messages\":[]}", "messages", "one entry at least"},
    {"{\"model\":\"m\",\"messages\":[ ]}", "messages", "one entry at least"},
    {"{\"model\":\"m\",\"messages\":[{}],\"stream\":\"yes\"}", "stream", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[{}],\"stream\":1}", "stream", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[{}],\"stream_options\":[]}", "stream_options", "an object"},
    {"{\"model\":\"m\",\"messages\":[{}],\"stream_options\":{\"include_usage\":\"x\"}}",
     "stream_options.include_usage", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":\"5\"}", "max_tokens", "an integer"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":2.5}", "max_tokens", "an integer"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":0}", "max_tokens", "from 1"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":-1}", "max_tokens", "from 1"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":99999999999999999999}", "max_tokens",
     "from 1"},
    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":5,\"max_completion_tokens\":5}",
     "max_completion_tokens", "not both"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n\":0}", "n", "from 1 to 128"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n\":129}", "n", "from 1 to 128"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n\":1e2}", "n", "an integer"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n_predict\":9}", "n_predict", "not supported"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n_cmpl\":9}", "n_cmpl", "not supported"},
    {"{\"model\":\"m\",\"messages\":[{}],\"best_of\":null}", "best_of", "not supported"},
    {"{\"model\":\"a\",\"model\":\"b\",\"messages\":[{}]}", "model", "twice"},
    {"{\"model\":\"a\",\"mode\\u006c\":\"b\",\"messages\":[{}]}", "model", "twice"},
    {"{\"model\":\"m\",\"messages\":[{}],\"n\":1,\"n\":2}", "n", "twice"},
};

START_TEST(every_mistake_is_named)
{
    const struct mistake *m = &mistakes[_i];
    struct call_request c;
    const char *param;
    struct err err;

    ck_assert_msg(!call_request_read(scanner, SURFACE_CHAT, span_of(m->body), &c, &param, &err),
                  "%s was accepted", m->body);
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strstr(err.text, m->says), "%s says: %s", m->body, err.text);
    ck_assert_pstr_eq(param, m->param);
}
END_TEST

START_TEST(a_model_name_that_does_not_fit_is_refused)
{
    char body[MODEL_TEXT + 64];
    struct call_request c;
    const char *param;
    struct err err;

    snprintf(body, sizeof body, "{\"messages\":[{}],\"model\":\"%0*d\"}", MODEL_TEXT, 7);
    ck_assert(!call_request_read(scanner, SURFACE_CHAT, span_of(body), &c, &param, &err));
    ck_assert_str_eq(param, "model");
    ck_assert_str_eq(err.text, "'model' must be at most 129 characters");
}
END_TEST

static struct call_request read_on(enum surface surface, const char *body)
{
    struct call_request c;
    const char *param;
    struct err err;

    ck_assert_msg(call_request_read(scanner, surface, span_of(body), &c, &param, &err), "%s: %s",
                  body, err.text);
    return c;
}

START_TEST(every_prompt_is_an_answer_and_a_list_of_tokens_is_one_prompt)
{
    static const struct {
        const char *prompt;
        int64_t n;
    } rows[] = {{"\"a\"", 1}, {"[\"a\",\"b\"]", 2}, {"[1,2,3]", 1}, {"[[1],[2],[3,4]]", 3},
                {"[]", 1},    {"[\"a\",7]", 1}};
    char body[128];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\",\"prompt\":%s}", rows[i].prompt);
        ck_assert_int_eq(read_on(SURFACE_COMPLETIONS, body).n, rows[i].n);
        snprintf(body, sizeof body, "{\"model\":\"m\",\"n\":2,\"prompt\":%s}", rows[i].prompt);
        ck_assert_int_eq(read_on(SURFACE_COMPLETIONS, body).n, 2 * rows[i].n);
    }
}
END_TEST

START_TEST(a_completion_without_a_cap_gets_the_cap_of_openai)
{
    struct call_request c =
        read_on(SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"stream\":true}");

    ck_assert_int_eq(c.cap, 16);
    ck_assert_ptr_null(c.cap_value.data);
    ck_assert(c.stream);
}
END_TEST

START_TEST(embeddings_have_no_stream_no_cap_and_no_choices)
{
    struct call_request c =
        read_on(SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[[1,2],[3]],\"stream\":true,"
                                    "\"n\":7,\"max_tokens\":\"x\",\"best_of\":1,"
                                    "\"encoding_format\":\"base64\",\"dimensions\":256}");

    ck_assert(!c.stream && !c.usage_wanted);
    ck_assert_int_eq(c.cap, 0);
    ck_assert_int_eq(c.n, 1);
    ck_assert_ptr_null(c.cap_value.data);
}
END_TEST

static const struct surface_mistake {
    enum surface surface;
    const char *body, *param, *says;
} surface_mistakes[] = {
    {SURFACE_COMPLETIONS, "{\"model\":\"m\"}", "prompt", "required"},
    {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":7}", "prompt", "a string or an array"},
    {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"best_of\":2}", "best_of",
     "not supported"},
    {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":65}", "prompt",
     "at most 1 prompt"},
    {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"prompt\":\"b\"}", "prompt", "twice"},
    {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"echo\":true,\"stream\":true}",
     "echo", "stream"},
    {SURFACE_EMBEDDINGS, "{\"model\":\"m\"}", "input", "required"},
    {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":{}}", "input", "a string or an array"},
    {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"a\",\"encoding_format\":1}",
     "encoding_format", "a string"},
    {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":\"9\"}", "dimensions",
     "an integer"},
};

START_TEST(every_surface_names_its_own_mistakes)
{
    const struct surface_mistake *m = &surface_mistakes[_i];
    struct call_request c;
    const char *param;
    struct err err;

    ck_assert(!call_request_read(scanner, m->surface, span_of(m->body), &c, &param, &err));
    ck_assert_str_eq(param, m->param);
    ck_assert_msg(strstr(err.text, m->says), "%s: %s", m->body, err.text);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("bodies");

    tcase_add_checked_fixture(t, open_scanner, close_scanner);
    tcase_add_test(t, a_plain_body_is_read_with_defaults);
    tcase_add_test(t, every_field_is_found_wherever_it_stands);
    tcase_add_test(t, null_means_not_given);
    tcase_add_loop_test(t, every_mistake_is_named, 0, (int)ARRAY_LEN(mistakes));
    tcase_add_test(t, a_model_name_that_does_not_fit_is_refused);
    tcase_add_test(t, every_prompt_is_an_answer_and_a_list_of_tokens_is_one_prompt);
    tcase_add_test(t, a_completion_without_a_cap_gets_the_cap_of_openai);
    tcase_add_test(t, embeddings_have_no_stream_no_cap_and_no_choices);
    tcase_add_loop_test(t, every_surface_names_its_own_mistakes, 0,
                        (int)ARRAY_LEN(surface_mistakes));
    return run_tests(t, "call_request");
}
