/* test_openai.c - whole calls against a scripted server: answers, refusals, and all the ways in which a server can fail. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/backend.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/backends/upstream.h"
#include "tests/base/run.h"

#define WAIT_MS 4000

static const char body[] = "{\"model\":\"demo/up\",\"messages\":[{\"role\":\"user\","
                           "\"content\":\"hi\"}],\"stream\":true}";

struct call {
    struct loop *loop;
    struct backend *backend;
    struct backend_call *call;
    struct buf bytes;
    struct buf refusal;
    int starts, events, ends, closing;
    int64_t content;
    size_t closing_at;
    unsigned status;
    char content_type[64];
    bool ended;
    struct backend_result result;
    int cancel_at, pause_at;
};

static void on_start(void *arg, unsigned status, struct span content_type)
{
    struct call *c = arg;

    ck_assert_int_eq(c->events, 0);
    c->starts++;
    c->status = status;
    ck_assert(span_copy(content_type, c->content_type, sizeof c->content_type));
}

static void on_event(void *arg, const struct backend_event *event)
{
    struct call *c = arg;

    ck_assert_int_eq(c->starts, 1);
    ck_assert(event->closing || !c->closing);
    if (event->closing && !c->closing)
        c->closing_at = c->bytes.len;
    c->closing += event->closing;
    c->events++;
    c->content += event->content;
    buf_add_span(&c->bytes, event->bytes);
    if (c->events == c->pause_at)
        backend_pause(c->call);
    if (c->events == c->cancel_at)
        backend_cancel(c->call);
    if (c->events == c->cancel_at)
        ck_assert_int_eq(c->ends, 0);
}

static void on_end(void *arg, const struct backend_result *result)
{
    struct call *c = arg;

    c->ends++;
    c->ended = true;
    c->result = *result;
    buf_add_span(&c->refusal, result->body);
}

static struct backend_config config_of(const char *url)
{
    return (struct backend_config){
        .kind = "openai",
        .url = url,
        .connect_ms = 1000,
        .first_byte_ms = 1000,
        .between_bytes_ms = 1000,
        .reply_bytes_max = 4096,
        .idle_max = 4,
        .idle_ms = 2000,
    };
}

static void call_open(struct call *c, const struct backend_config *config)
{
    struct err err;

    *c = (struct call){.loop = loop_new(&err)};
    ck_assert(c->loop);
    c->backend = backend_open(c->loop, config, &err);
    ck_assert_msg(c->backend, "%s", err.text);
    buf_init(&c->bytes, SIZE_MAX);
    buf_init(&c->refusal, SIZE_MAX);
}

static void call_close(struct call *c)
{
    backend_free(c->backend);
    loop_free(c->loop);
    buf_clear(&c->bytes);
    buf_clear(&c->refusal);
}

static struct backend_request asking(bool stream)
{
    struct backend_request r = {
        .body = span_of(body),
        .model_value = {strstr(body, "\"demo/up\""), strlen("\"demo/up\"")},
        .model = "real",
        .stream = stream,
        .choices = 1,
        .request_id = "req-77",
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };

    return r;
}

static void call_start(struct call *c, const struct backend_request *r)
{
    static const struct backend_handlers handlers = {on_start, on_event, on_end};
    struct err err;

    c->starts = c->events = c->ends = c->closing = 0;
    c->content = 0;
    c->ended = false;
    c->bytes.len = c->refusal.len = 0;
    c->call = backend_start(c->backend, r, &handlers, c, &err);
    ck_assert_msg(c->call, "%s", err.text);
    ck_assert_int_eq(c->starts + c->events + c->ends, 0);
}

static void call_run(struct call *c, const struct backend_request *r)
{
    call_start(c, r);
    ck_assert(loop_run_until(c->loop, &c->ended, WAIT_MS));
    ck_assert_int_eq(c->ends, 1);
}

/* One call against one script. */
static void run_script(struct call *c, const struct upstream_step *script, bool stream)
{
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(stream);

    config.first_byte_ms = config.between_bytes_ms = 150;
    call_open(c, &config);
    call_run(c, &r);
}

static void check_bucket(const struct call *c, enum usage_bucket b, int64_t n,
                         enum usage_source source)
{
    ck_assert_int_eq(c->result.usage.bucket[b].n, n);
    ck_assert_int_eq(c->result.usage.bucket[b].source, source);
}

/* --- good answers --- */

#define REPLY                                                                                     \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello, you\"}," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"       \
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}"
#define REPLY_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
#define SSE_HEAD \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin:\r\n"
#define UNTIL_CLOSE "Connection: close\r\n\r\n"
#define CHUNK(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE        "data: [DONE]\n\n"

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
    ck_assert_int_eq(c.result.usage.bucket[USAGE_OUTPUT].source, USAGE_ESTIMATED);
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
    int64_t start = clock_monotonic_ms();
    struct call c;

    config.between_bytes_ms = 60000;
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_int_lt(clock_monotonic_ms() - start, 2000);
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

/* --- refusals --- */

START_TEST(a_refusal_is_handed_over_with_its_status_and_body)
{
    static const struct {
        const char *head;
        unsigned status;
        bool accepted;
        int64_t retry_after_ms;
    } refusals[] = {
        {"HTTP/1.1 400 Bad Request\r\n", 400, true, 0},
        {"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n", 429, false, 7000},
        {"HTTP/1.1 500 Oops\r\n", 500, true, 0},
        {"HTTP/1.1 503 Busy\r\nretry-after: 30\r\n", 503, false, 30000},
    };

    for (size_t i = 0; i < ARRAY_LEN(refusals) * 2; i++) {
        AUTO_STRING answer = xasprintf("%s" UNTIL_CLOSE "{\"error\":{\"code\":%u}}",
                                       refusals[i / 2].head, refusals[i / 2].status);
        const struct upstream_step script[] = {
            {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
        struct call c;

        run_script(&c, script, i % 2);
        ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(c.result.status, refusals[i / 2].status);
        ck_assert(c.result.accepted == refusals[i / 2].accepted);
        ck_assert_int_eq(c.result.retry_after_ms, refusals[i / 2].retry_after_ms);
        ck_assert(strstr(c.refusal.data, "{\"error\":{\"code\":") == c.refusal.data);
        ck_assert_int_eq(c.starts + c.events, 0);
        check_bucket(&c, USAGE_INPUT, 0, USAGE_MISSING);
        call_close(&c);
    }
}
END_TEST

START_TEST(of_an_endless_refusal_64_kb_are_kept)
{
    static char filler[1025];
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, "HTTP/1.1 500 Oops\r\n" UNTIL_CLOSE, 0},
        {UPSTREAM_REPEAT, filler, 1000},
        {UPSTREAM_EOF, NULL, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    memset(filler, 'x', sizeof filler - 1);
    run_script(&c, script, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
    ck_assert_uint_eq(c.refusal.len, BACKEND_REFUSAL_MAX);
    call_close(&c);
}
END_TEST

START_TEST(an_error_with_a_good_status_is_a_refusal)
{
    static const struct {
        const char *text;
        unsigned status;
    } errors[] = {
        {"{\"error\":{\"message\":\"m\",\"code\":429}}", 429},
        {"{\"error\":{\"message\":\"m\",\"code\":\"rate\"}}", 502},
        {"{\"error\":\"m\"}", 502},
    };

    for (size_t i = 0; i < ARRAY_LEN(errors) * 2; i++) {
        AUTO_STRING answer = xasprintf(REPLY_HEAD UNTIL_CLOSE "%s", errors[i / 2].text);
        const struct upstream_step script[] = {
            {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
        struct call c;

        run_script(&c, script, i % 2);
        ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(c.result.status, errors[i / 2].status);
        ck_assert_str_eq(c.refusal.data, errors[i / 2].text);
        call_close(&c);
    }
}
END_TEST

/* --- what breaks --- */

static const struct broken {
    const char *answer;
    bool stream;
    const char *says;
    int events;
} broken[] = {
    {"HTTP/1.1 307 Elsewhere\r\nLocation: /v2\r\n" UNTIL_CLOSE, false, "status 307", 0},
    {"HTTP/1.1 307 Elsewhere\r\nLocation: /v2\r\n" UNTIL_CLOSE, true, "status 307", 0},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "", 0},
    {"", false, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", true, "", 0},
    {REPLY_HEAD "Content-Length: 400\r\n\r\n{\"choices\":[", false, "", 0},
    {REPLY_HEAD UNTIL_CLOSE, false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "<html>", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "[]", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE "{\"choices\":[]", false, "no JSON object", 0},
    {REPLY_HEAD UNTIL_CLOSE REPLY, true, "where a stream was asked for", 0},
    {SSE_HEAD UNTIL_CLOSE, true, "in the middle of the answer", 0},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a"), true, "in the middle of the answer", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {\"cho", true, "in the middle of an event", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {]}\n\n" CHUNK("b"), true, "no JSON", 1},
    {SSE_HEAD UNTIL_CLOSE CHUNK("a") "data: {\"error\":{\"message\":\"gpu\"}}\n\n" DONE, true,
     "reports an error", 2},
    {SSE_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\nzz\r\n", true, "", 0},
    {SSE_HEAD "Content-Length: 4000\r\n\r\n" FINISH, true, "", 1},
};

START_TEST(a_server_that_fails_breaks_the_call)
{
    const struct broken *b = &broken[_i];
    const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_SEND, b->answer, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, b->stream);
    ck_assert_msg(c.result.outcome == BACKEND_BROKEN, "%d: outcome %d", _i, c.result.outcome);
    ck_assert(c.result.accepted);
    ck_assert_msg(c.result.err.text[0] && strstr(c.result.err.text, b->says), "%d: %s", _i,
                  c.result.err.text);
    ck_assert_int_eq(c.events, b->events);
    ck_assert_int_eq(c.closing, 0);
    ck_assert_int_eq(c.starts, b->events > 0);
    check_bucket(&c, USAGE_INPUT, (int64_t)strlen(body) / 4, USAGE_ESTIMATED);
    call_close(&c);
}
END_TEST

START_TEST(a_reset_breaks_the_call)
{
    static const struct upstream_step before[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_RESET, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    static const struct upstream_step amid[] = {{UPSTREAM_READ, NULL, 0},
                                                {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
                                                {UPSTREAM_WAIT, NULL, 50},
                                                {UPSTREAM_RESET, NULL, 0},
                                                {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, before, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert(c.result.accepted);
    call_close(&c);
    run_script(&c, amid, true);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert_int_eq(c.content, 1);
    check_bucket(&c, USAGE_OUTPUT, 1, USAGE_COUNTED);
    call_close(&c);
}
END_TEST

START_TEST(a_stalled_server_times_out)
{
    static const struct upstream_step stalls[][4] = {
        {{UPSTREAM_READ, NULL, 0}, {UPSTREAM_EOF, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}},
        {{UPSTREAM_READ, NULL, 0},
         {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE "{", 0},
         {UPSTREAM_EOF, NULL, 0},
         {UPSTREAM_CLOSE, NULL, 0}},
        {{UPSTREAM_READ, NULL, 0},
         {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
         {UPSTREAM_EOF, NULL, 0},
         {UPSTREAM_CLOSE, NULL, 0}},
    };

    for (size_t i = 0; i < ARRAY_LEN(stalls); i++) {
        int64_t start = clock_monotonic_ms();
        struct call c;

        run_script(&c, stalls[i], i != 1);
        ck_assert_int_eq(c.result.outcome, BACKEND_TIMED_OUT);
        ck_assert(c.result.accepted && c.result.err.text[0]);
        ck_assert_int_eq(c.events, i == 2);
        ck_assert_int_lt(clock_monotonic_ms() - start, 2000);
        call_close(&c);
    }
}
END_TEST

/* Never silent for long, and still too slow as a whole. */
START_TEST(an_answer_that_takes_too_long_as_a_whole_times_out)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},   {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
        {UPSTREAM_WAIT, NULL, 300}, {UPSTREAM_SEND, CHUNK("b"), 0},
        {UPSTREAM_EOF, NULL, 0},    {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    struct call c;

    config.total_ms = 600;
    config.between_bytes_ms = 10000;
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_TIMED_OUT);
    ck_assert(strstr(c.result.err.text, "within 600 ms"));
    ck_assert(c.result.accepted);
    ck_assert_int_eq(c.starts, 1);
    call_close(&c);
}
END_TEST

START_TEST(a_server_that_is_not_there_has_accepted_nothing)
{
    static const struct upstream_step script[] = {{UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    struct upstream *u = upstream_new(scripts, 0);
    AUTO_STRING url = xstrdup(upstream_url(u));
    struct backend_config config = config_of(url);
    struct backend_request r = asking(false);
    struct call c;

    upstream_free(u);
    call_open(&c, &config);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert(!c.result.accepted);
    ck_assert(c.result.err.text[0]);
    check_bucket(&c, USAGE_INPUT, 0, USAGE_MISSING);
    call_close(&c);
}
END_TEST

START_TEST(a_reply_over_its_limit_breaks_the_call)
{
    static const struct upstream_step script[] = {{UPSTREAM_READ, NULL, 0},
                                                  {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE "{", 0},
                                                  {UPSTREAM_REPEAT, " ", 5000},
                                                  {UPSTREAM_EOF, NULL, 0},
                                                  {UPSTREAM_CLOSE, NULL, 0}};
    struct call c;

    run_script(&c, script, false);
    ck_assert_int_eq(c.result.outcome, BACKEND_BROKEN);
    ck_assert_int_eq(c.result.err.code, ERR_LIMIT);
    call_close(&c);
}
END_TEST

/* --- steering --- */

START_TEST(a_cancelled_call_closes_its_connection_at_once_and_fully)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},
        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a") CHUNK("b") CHUNK("c"), 0},
        {UPSTREAM_EOF, NULL, 0},
        {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    int64_t start = clock_monotonic_ms();
    struct call c;

    call_open(&c, &config);
    c.cancel_at = 2;
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
    ck_assert_int_eq(c.events, 2);
    ck_assert_int_lt(clock_monotonic_ms() - start, 500);
    check_bucket(&c, USAGE_OUTPUT, 2, USAGE_COUNTED);
    upstream_join(u);
    ck_assert(upstream_saw_full_close(u));
    call_close(&c);
}
END_TEST

START_TEST(a_call_can_be_cancelled_before_any_answer)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0}, {UPSTREAM_EOF, NULL, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};

    for (int waited = 0; waited < 2; waited++) {
        AUTO(upstream) u = upstream_new(scripts, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(true);
        bool never = false;
        struct call c;

        call_open(&c, &config);
        call_start(&c, &r);
        if (waited)
            ck_assert(!loop_run_until(c.loop, &never, 50));
        backend_cancel(c.call);
        ck_assert_int_eq(c.ends, 0);
        ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        ck_assert(c.result.accepted || !waited);
        ck_assert_int_eq(c.starts + c.events, 0);
        call_close(&c);
    }
}
END_TEST

START_TEST(cancelling_in_the_last_event_still_ends_once)
{
    static const struct upstream_step plain[] = {{UPSTREAM_READ, NULL, 0},
                                                 {UPSTREAM_SEND, REPLY_HEAD UNTIL_CLOSE REPLY, 0},
                                                 {UPSTREAM_CLOSE, NULL, 0}};
    static const struct upstream_step stream[] = {{UPSTREAM_READ, NULL, 0},
                                                  {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE FINISH, 0},
                                                  {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {plain, stream};

    for (int i = 0; i < 2; i++) {
        AUTO(upstream) u = upstream_new(scripts + i, 1);
        struct backend_config config = config_of(upstream_url(u));
        struct backend_request r = asking(i == 1);
        struct call c;

        call_open(&c, &config);
        c.pause_at = c.cancel_at = i + 1;
        call_run(&c, &r);
        ck_assert_int_eq(c.events, i + 1);
        ck_assert_int_eq(c.closing, 1);
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_paused_call_reads_no_more_until_resumed)
{
    static const struct upstream_step script[] = {
        {UPSTREAM_READ, NULL, 0},        {UPSTREAM_SEND, SSE_HEAD UNTIL_CLOSE CHUNK("a"), 0},
        {UPSTREAM_WAIT, NULL, 60},       {UPSTREAM_REPEAT, CHUNK("b"), 100},
        {UPSTREAM_SEND, FINISH DONE, 0}, {UPSTREAM_CLOSE, NULL, 0}};
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(true);
    bool never = false;
    struct call c;

    call_open(&c, &config);
    c.pause_at = 1;
    call_start(&c, &r);
    ck_assert(!loop_run_until(c.loop, &never, 200));
    ck_assert_int_eq(c.events, 1);
    backend_resume(c.call);
    ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_int_eq(c.content, 101);
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
    static const struct backend_handlers handlers = {on_start, on_event, on_end};
    struct backend_request r = asking(true);
    struct err err;
    struct call c;

    r.body = SPAN("{\"model\":\"demo/up\",\"stream_options\":7}");
    r.model_value = (struct span){r.body.data + 9, 9};
    r.stream_options = (struct span){r.body.data + r.body.len - 2, 1};
    call_open(&c, &config);
    ck_assert_ptr_null(backend_start(c.backend, &r, &handlers, &c, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    call_close(&c);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("openai");

    tcase_add_test(cases, a_plain_answer_is_one_closing_event_with_the_providers_usage);
    tcase_add_test(cases, a_plain_answer_without_usage_is_estimated);
    tcase_add_test(cases, a_stream_passes_and_its_connection_serves_the_next_call);
    tcase_add_test(cases, the_request_has_our_headers_and_the_edited_body);
    tcase_add_test(cases, without_a_key_none_is_sent);
    tcase_add_test(cases, an_answer_ends_with_done_though_its_body_goes_on);
    tcase_add_test(cases, a_huge_line_passes);
    tcase_add_test(cases, a_refusal_is_handed_over_with_its_status_and_body);
    tcase_add_test(cases, of_an_endless_refusal_64_kb_are_kept);
    tcase_add_test(cases, an_error_with_a_good_status_is_a_refusal);
    tcase_add_loop_test(cases, a_server_that_fails_breaks_the_call, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(cases, a_reset_breaks_the_call);
    tcase_add_test(cases, a_stalled_server_times_out);
    tcase_add_test(cases, an_answer_that_takes_too_long_as_a_whole_times_out);
    tcase_add_test(cases, a_server_that_is_not_there_has_accepted_nothing);
    tcase_add_test(cases, a_reply_over_its_limit_breaks_the_call);
    tcase_add_test(cases, a_cancelled_call_closes_its_connection_at_once_and_fully);
    tcase_add_test(cases, a_call_can_be_cancelled_before_any_answer);
    tcase_add_test(cases, cancelling_in_the_last_event_still_ends_once);
    tcase_add_test(cases, a_paused_call_reads_no_more_until_resumed);
    tcase_add_test(cases, a_config_that_cannot_work_is_refused);
    tcase_add_test(cases, a_request_that_cannot_be_edited_is_not_sent);
    return run_tests(cases, "openai");
}
