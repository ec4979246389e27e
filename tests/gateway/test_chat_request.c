/* Chat bodies: what is read, where it stands, and every mistake with its sentence. */
#include <check.h>
#include <stdlib.h>

#include "gateway/chat_request.h"

static struct jscan *scanner;

static void open_scanner(void)
{
    scanner = chat_request_scanner();
}

static void close_scanner(void)
{
    jscan_free(scanner);
}

static struct chat_request read_good(const char *body)
{
    struct chat_request c;
    const char *param;
    struct err err;

    ck_assert_msg(chat_request_read(scanner, span_of(body), &c, &param, &err), "%s: %s", body,
                  err.text);
    ck_assert_ptr_null(param);
    return c;
}

START_TEST(a_plain_body_is_read_with_defaults)
{
    struct chat_request c = read_good("{\"model\":\"demo/echo\",\"messages\":[]}");

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
    struct chat_request c = read_good(
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
    struct chat_request c = read_good(
        "{\"model\":\"m\",\"messages\":[],\"stream\":null,\"stream_options\":null,\"n\":null,"
        "\"max_tokens\":null,\"max_completion_tokens\":5}");

    ck_assert(!c.stream && !c.usage_wanted);
    ck_assert_int_eq(c.n, 1);
    ck_assert_int_eq(c.cap, 5);
    ck_assert(span_equal(c.cap_value, SPAN("5")));
    c = read_good("{\"model\":\"m\",\"messages\":[],\"max_tokens\":null}");
    ck_assert_int_eq(c.cap, 0);
    ck_assert(span_equal(c.cap_value, SPAN("null")));
}
END_TEST

static const struct mistake {
    const char *body, *param, *says;
} mistakes[] = {
    {"", NULL, "JSON"},
    {"{", NULL, "JSON"},
    {"{\"model\":\"m\",\"messages\":[]}x", NULL, "JSON"},
    {"{\"model\":\"m\" \"messages\":[]}", NULL, "JSON"},
    {"{\"model\":\"\xff\",\"messages\":[]}", NULL, "JSON"},
    {"{\"model\":\"m\",\"messages\":[],\"temperature\":01}", NULL, "JSON"},
    {"[]", NULL, "object"},
    {" \"x\"", NULL, "object"},
    {"{}", "model", "required"},
    {"{\"model\":null,\"messages\":[]}", "model", "required"},
    {"{\"model\":7,\"messages\":[]}", "model", "a string"},
    {"{\"model\":\"m\"}", "messages", "required"},
    {"{\"model\":\"m\",\"messages\":{}}", "messages", "an array"},
    {"{\"model\":\"m\",\"messages\":[],\"stream\":\"yes\"}", "stream", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[],\"stream\":1}", "stream", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[],\"stream_options\":[]}", "stream_options", "an object"},
    {"{\"model\":\"m\",\"messages\":[],\"stream_options\":{\"include_usage\":\"x\"}}",
     "stream_options.include_usage", "a boolean"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":\"5\"}", "max_tokens", "an integer"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":2.5}", "max_tokens", "an integer"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":0}", "max_tokens", "from 1"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":-1}", "max_tokens", "from 1"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":99999999999999999999}", "max_tokens",
     "from 1"},
    {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":5,\"max_completion_tokens\":5}",
     "max_completion_tokens", "not both"},
    {"{\"model\":\"m\",\"messages\":[],\"n\":0}", "n", "from 1 to 128"},
    {"{\"model\":\"m\",\"messages\":[],\"n\":129}", "n", "from 1 to 128"},
    {"{\"model\":\"m\",\"messages\":[],\"n\":1e2}", "n", "an integer"},
    {"{\"model\":\"m\",\"messages\":[],\"n_predict\":9}", "n_predict", "not supported"},
    {"{\"model\":\"m\",\"messages\":[],\"n_cmpl\":9}", "n_cmpl", "not supported"},
    {"{\"model\":\"m\",\"messages\":[],\"best_of\":null}", "best_of", "not supported"},
    {"{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}", "model", "twice"},
    {"{\"model\":\"a\",\"mode\\u006c\":\"b\",\"messages\":[]}", "model", "twice"},
    {"{\"model\":\"m\",\"messages\":[],\"n\":1,\"n\":2}", "n", "twice"},
};

START_TEST(every_mistake_is_named)
{
    const struct mistake *m = &mistakes[_i];
    struct chat_request c;
    const char *param;
    struct err err;

    ck_assert_msg(!chat_request_read(scanner, span_of(m->body), &c, &param, &err),
                  "%s was accepted", m->body);
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_msg(strstr(err.text, m->says), "%s says: %s", m->body, err.text);
    ck_assert_pstr_eq(param, m->param);
}
END_TEST

START_TEST(a_model_name_that_does_not_fit_is_refused)
{
    char body[MODEL_TEXT + 64];
    struct chat_request c;
    const char *param;
    struct err err;

    snprintf(body, sizeof body, "{\"messages\":[],\"model\":\"%0*d\"}", MODEL_TEXT, 7);
    ck_assert(!chat_request_read(scanner, span_of(body), &c, &param, &err));
    ck_assert_str_eq(param, "model");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chat_request");
    TCase *t = tcase_create("bodies");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, open_scanner, close_scanner);
    tcase_add_test(t, a_plain_body_is_read_with_defaults);
    tcase_add_test(t, every_field_is_found_wherever_it_stands);
    tcase_add_test(t, null_means_not_given);
    tcase_add_loop_test(t, every_mistake_is_named, 0, (int)ARRAY_LEN(mistakes));
    tcase_add_test(t, a_model_name_that_does_not_fit_is_refused);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
