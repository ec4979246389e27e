/* test_openai.c - whole calls against a scripted server: what is sent, and good answers. */
#include <check.h>
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/backends/openai_fixture.h"
#include "tests/base/run.h"

START_TEST(a_plain_answer_is_one_closing_event_with_the_providers_usage)
{
    static const struct upstream_step script[] = {{UPSTREAM_READ, NULL, 0},
                                                  {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE REPLY, 0},
                                                  {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, false);
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert(c.result.accepted);
    ck_assert_int_eq(c.events, 1);
    ck_assert_int_eq(c.closing, 1);
    ck_assert_int_eq(c.content, 1);
    ck_assert_uint_eq(c.status, 200);
    ck_assert_str_eq(c.content_type, "application/json; charset=utf-8");
    ck_assert_str_eq(c.bytes.data, REPLY);
    check_bucket(&c, USAGE_INPUT, 8, USAGE_UPSTREAM);
    check_bucket(&c, USAGE_CACHED_INPUT, 4, USAGE_UPSTREAM);
    check_bucket(&c, USAGE_OUTPUT, 3, USAGE_UPSTREAM);
    call_close(&c);
}
END_TEST

START_TEST(a_plain_answer_without_usage_is_estimated)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND,
         REPLY_HEAD UNTIL_CLOSE
         "{\"choices\":[{\"message\":{\"content\":\"12345678\"}},{\"message\":{\"content\":"
         "\"abcdefgh\"}},{\"message\":{\"content\":\"\"}}]}",
         0},
        {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, false);
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_int_eq(c.content, 2);
    check_bucket(&c, USAGE_INPUT, (int64_t)strlen(body) / 4, USAGE_ESTIMATED);
    check_bucket(&c, USAGE_OUTPUT, 4, USAGE_ESTIMATED);
    call_close(&c);
}
END_TEST

/* Chunks of the transfer cut events anywhere. */
static char *chunked(struct span text, size_t size)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    buf_add_string(&out, SSE_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < text.len; at += size) {
        size_t n = text.len - at < size ? text.len - at : size;

        buf_printf(&out, "%zx\r\n", n);
        buf_add(&out, text.data + at, n);
        buf_add_string(&out, "\r\n");
    }
    buf_add_string(&out, "0\r\n\r\n");
    return out.data;
}

static void read_recording(const char *name, struct buf *out)
{
    const char *top = getenv("TOP_SRCDIR");
    AUTO_STRING path = xasprintf("%s/tests/data/streams/%s.sse", top ? top : ".", name);
    struct err err;

    buf_init(out, 65536);
    ck_assert_msg(file_read(path, out, &err), "%s", err.text);
}

START_TEST(a_stream_passes_and_its_connection_serves_the_next_call)
{
    struct buf recorded;
    AUTO_STRING answer = NULL;
    struct call c;

    read_recording("llama_cpp", &recorded);
    answer = chunked(buf_span(&recorded), 37);
    {
        const struct upstream_step script[] = {{UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0},
                                               {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0},
                                               {UPSTREAM_EOF, NULL, 0},  {UPSTREAM_CLOSE, NULL, 0}};
        const struct upstream_step *const scripts[] = {script};
        AUTO(upstream) u = upstream_new(scripts, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(true);

        r.usage_wanted = true;
        call_open(&c, &config);
        for (int i = 0; i < 2; i++) {
            call_run(&c, &r);
            ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
            ck_assert_int_eq(c.content, 3);
            ck_assert(span_equal(buf_span(&c.bytes), buf_span(&recorded)));
            ck_assert_str_eq(c.content_type, "text/event-stream");
            check_bucket(&c, USAGE_INPUT, 30, USAGE_UPSTREAM);
            check_bucket(&c, USAGE_OUTPUT, 4, USAGE_UPSTREAM);
        }
        call_close(&c);
        upstream_join(u);
        ck_assert_uint_eq(upstream_connections(u), 1);
    }
    buf_clear(&recorded);
}
END_TEST

/* The header `name` of the first request, or null data. */
static struct span sent_header(struct span requests, const char *name)
{
    AUTO_STRING start = xasprintf("\r\n%s: ", name);
    const char *at = strcasestr(requests.data, start);

    if (!at)
        return (struct span){NULL, 0};
    at += strlen(start);
    return (struct span){at, strcspn(at, "\r\n")};
}

START_TEST(the_request_has_our_headers_and_the_edited_body)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE FINISH DONE, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    static const char *const headers[][2] = {
        {"content-type", "application/json"},
        {"accept", "text/event-stream"},
        {"accept-encoding", "identity"},
        {"authorization", "Bearer up-key"},
        {"x-request-id", "req-77"},
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    };
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    AUTO_STRING url = xasprintf("%s/", upstream_url(u));
    struct backend_config config = config_of(url);
    struct backend_request r = asking(true);
    AUTO_CLEAR(secret) key;
    struct span sent;
    struct call c;
    struct err err;

    ck_assert(secret_set(&key, SPAN("up-key"), &err));
    config.key = &key;
    r.output_cap = 5;
    call_open(&c, &config);
    call_run(&c, &r);
    call_close(&c);
    upstream_join(u);
    sent = upstream_requests(u);
    ck_assert(span_starts(sent, SPAN("POST /v1/chat/completions HTTP/1.1\r\n")));
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        ck_assert_msg(span_equal(sent_header(sent, headers[i][0]), span_of(headers[i][1])), "%s",
                      headers[i][0]);
    ck_assert_ptr_nonnull(sent_header(sent, "host").data);
    ck_assert_str_eq(strstr(sent.data, "\r\n\r\n") + 4,
                     "{\"max_tokens\":5,\"stream_options\":{\"include_usage\":true},"
                     "\"model\":\"real\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                     "\"stream\":true}");
}
END_TEST

START_TEST(without_a_key_none_is_sent)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE FINISH DONE, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    struct call c;

    r.traceparent = NULL;
    call_open(&c, &config);
    call_run(&c, &r);
    call_close(&c);
    upstream_join(u);
    ck_assert_ptr_null(sent_header(upstream_requests(u), "authorization").data);
    ck_assert_ptr_null(sent_header(upstream_requests(u), "traceparent").data);
}
END_TEST

START_TEST(an_answer_ends_with_done_though_its_body_goes_on)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a") FINISH DONE, 0},
        {UPSTREAM_EOF, NULL, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    struct call c;

    config.between_bytes_ms = 2 * WAIT_MS;
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_str_eq(c.bytes.data, CHUNK("a") FINISH DONE);
    check_bucket(&c, USAGE_OUTPUT, 1, USAGE_COUNTED);
    check_bucket(&c, USAGE_INPUT, (int64_t)strlen(body) / 4, USAGE_ESTIMATED);
    call_close(&c);
}
END_TEST

START_TEST(a_huge_line_passes)
{
    static char filler[65536];
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND,
         SSE_HEAD UNTIL_CLOSE "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", 0},
        {UPSTREAM_REPEAT, filler, 64},
        {UPSTREAM_SEND, "\"},\"finish_reason\":\"stop\"}]}\n\n" DONE, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    memset(filler, 'x', sizeof filler - 1);
    run_script(&c, script, true);
    ck_assert_msg(c.result.outcome == BACKEND_COMPLETE, "%s", c.result.err.text);
    ck_assert_int_eq(c.content, 1);
    ck_assert_uint_gt(c.bytes.len, 64 * (sizeof filler - 1));
    call_close(&c);
}
END_TEST

START_TEST(a_config_that_cannot_work_is_refused)
{
    static const char *const urls[] = {NULL,
                                       "",
                                       "localhost:8000/v1",
                                       "ftp://localhost/v1",
                                       "http:///v1",
                                       "http://127.0.0.1:80/v1?key=1",
                                       "http://127.0.0.1:80/v1 HTTP/1.1"};
    struct err err;
    AUTO(loop) loop = loop_new(&err);
    AUTO_CLEAR(secret) key;
    struct backend_config config;

    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        config = config_of(urls[i]);
        ck_assert_msg(!backend_open(loop, &config, &err), "%s", urls[i]);
        ck_assert_int_eq(err.code, ERR_INPUT);
    }
    config = config_of("http://127.0.0.1:80");
    ck_assert(secret_set(&key, SPAN("a\r\nx-evil: 1"), &err));
    config.key = &key;
    ck_assert_ptr_null(backend_open(loop, &config, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    config = config_of("https://127.0.0.1:443/v1");
    config.ca_file = "/nonexistent/ca.pem";
    ck_assert_ptr_null(backend_open(loop, &config, &err));
}
END_TEST

START_TEST(a_request_that_cannot_be_edited_is_not_sent)
{
    struct backend_config config = config_of("http://127.0.0.1:1/v1");
    struct backend_request r = asking(true);
    struct err err;
    struct call c;

    r.body = SPAN("{\"model\":\"demo/up\",\"stream_options\":7}");
    r.model_value = (struct span){r.body.data + 9, 9};
    r.stream_options = (struct span){r.body.data + r.body.len - 2, 1};
    call_open(&c, &config);
    ck_assert_ptr_null(backend_start(c.backend, &r, &call_handlers, &c, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    call_close(&c);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("calls");

    tcase_add_test(t, a_plain_answer_is_one_closing_event_with_the_providers_usage);
    tcase_add_test(t, a_plain_answer_without_usage_is_estimated);
    tcase_add_test(t, a_stream_passes_and_its_connection_serves_the_next_call);
    tcase_add_test(t, the_request_has_our_headers_and_the_edited_body);
    tcase_add_test(t, without_a_key_none_is_sent);
    tcase_add_test(t, an_answer_ends_with_done_though_its_body_goes_on);
    tcase_add_test(t, a_huge_line_passes);
    tcase_add_test(t, a_config_that_cannot_work_is_refused);
    tcase_add_test(t, a_request_that_cannot_be_edited_is_not_sent);
    return run_tests(t, "openai");
}
