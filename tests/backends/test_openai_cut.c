/* test_openai_cut.c - a server's answer ends after every one of its bytes in turn, by a close and by a reset. Only one that has
 * come whole may count as whole; what was given out before is always the beginning of what a whole one gives out. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "lib/base/mem.h"
#include "tests/backends/upstream.h"
#include "tests/base/run.h"

#define WAIT_MS 60000

#define REPLY                                                                                     \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello, you\"}," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}"
#define HEAD        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SSE         "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNK(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE       "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n"
#define DONE        "data: [DONE]\n\n"

static const char body[] = "{\"model\":\"demo/up\",\"messages\":[{\"role\":\"user\","
                           "\"content\":\"hi\"}],\"stream\":true}";

/* `whole_at`: before this text's end the answer is not whole; null: before its last byte. */
static const struct answer {
    const char *text;
    bool stream;
    const char *whole_at;
} answers[] = {
    {HEAD "Content-Length: 153\r\n\r\n" REPLY, false, NULL},
    {HEAD
     "Transfer-Encoding: chunked\r\n\r\n"
     "65\r\n"
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello, you\"},"
     "\"finish_reason\":\"stop\"}]\r\n"
     "1\r\n}\r\n0\r\n\r\n",
     false, NULL},
    {SSE "Transfer-Encoding: chunked\r\n\r\n"
         "3c\r\n" CHUNK("one ") "\r\n"
                                "38\r\n" CHUNK("") "\r\n"
                                                   "43\r\n" FINISH "\r\n"
                                                   "48\r\n" USAGE "\r\n"
                                                   "e\r\n" DONE "\r\n"
                                                   "0\r\n\r\n",
     true, DONE},
    {SSE "Content-Length: 272\r\n\r\n" CHUNK("one ") CHUNK("two") FINISH USAGE DONE, true, DONE},
    /* Here the connection's end is the body's: once all choices have finished it may come between any two events, as it does
     * from servers that never send [DONE]. */
    {SSE "Connection: close\r\n\r\n" CHUNK("one ") CHUNK("two") FINISH USAGE DONE, true,
     "\"finish_reason\":\"stop\"}]}"},
};

struct seen {
    struct buf bytes;
    int ends;
    bool is_over;
    enum backend_outcome outcome;
    bool accepted;
};

static void on_start(void *arg, unsigned status, struct span content_type)
{
    (void)arg;
    ck_assert_uint_eq(status, 200);
    ck_assert_uint_gt(content_type.len, 0);
}

static void on_event(void *arg, const struct backend_event *event)
{
    buf_add_span(&((struct seen *)arg)->bytes, event->bytes);
}

static void on_end(void *arg, const struct backend_result *result)
{
    struct seen *s = arg;

    s->ends++;
    s->is_over = true;
    s->outcome = result->outcome;
    s->accepted = result->accepted;
}

static struct backend_request request_for(const struct answer *a)
{
    return (struct backend_request){
        .body = span_of(body),
        .model_value = {strstr(body, "\"demo/up\""), strlen("\"demo/up\"")},
        .model = "real",
        .stream = a->stream,
        .usage_wanted = true,
        .choices = 1,
        .request_id = "req-77",
    };
}

/* Against a script of its own for each, one connection after the other. */
static void run_all(const struct answer *a, const struct upstream_step *const *scripts,
                    size_t count, struct seen *seen)
{
    static const struct backend_handlers handlers = {on_start, on_event, on_end};
    struct err err;
    AUTO(loop) loop = loop_new(&err);
    AUTO(upstream) u = upstream_new(scripts, count);
    struct backend_config config = {.kind = "openai",
                                    .url = upstream_url(u),
                                    .connect_ms = WAIT_MS,
                                    .first_byte_ms = WAIT_MS,
                                    .between_bytes_ms = WAIT_MS,
                                    .reply_bytes_max = 4096};
    AUTO(backend) backend = backend_open(loop, &config, &err);
    struct backend_request request = request_for(a);

    ck_assert(loop && backend);
    for (size_t i = 0; i < count; i++) {
        buf_init(&seen[i].bytes, SIZE_MAX);
        ck_assert(backend_start(backend, &request, &handlers, &seen[i], &err));
        ck_assert(loop_run_until(loop, &seen[i].is_over, WAIT_MS));
    }
    upstream_join(u);
}

static size_t whole_from(const struct answer *a)
{
    const char *at = a->whole_at ? strstr(a->text, a->whole_at) : NULL;

    return at ? (size_t)(at - a->text) + strlen(a->whole_at) : strlen(a->text);
}

static bool ends_with_connection(const struct answer *a)
{
    return strstr(a->text, "Connection: close") != NULL;
}

static void judge(const struct answer *a, size_t cut, const struct seen *s,
                  const struct seen *whole)
{
    ck_assert_int_eq(s->ends, 1);
    ck_assert_msg(s->accepted, "cut at %zu", cut);
    if (cut < whole_from(a))
        ck_assert_msg(s->outcome == BACKEND_BROKEN, "cut at %zu of '%s'", cut, a->text);
    if (s->outcome == BACKEND_BROKEN && s->bytes.len > 0) {
        ck_assert_uint_lt(s->bytes.len, whole->bytes.len);
        ck_assert(memcmp(s->bytes.data, whole->bytes.data, s->bytes.len) == 0);
        ck_assert(!strstr(s->bytes.data, "[DONE]"));
    }
}

static void cut_everywhere(const struct answer *a, enum upstream_act end)
{
    size_t len = strlen(a->text), count = len + 1;
    struct upstream_step(*steps)[4] = xcalloc(count, sizeof *steps);
    const struct upstream_step **scripts = xcalloc(count, sizeof *scripts);
    char **texts = xcalloc(count, sizeof *texts);
    struct seen *seen = xcalloc(count, sizeof *seen);

    for (size_t i = 0; i < count; i++) {
        texts[i] = xstrndup(a->text, i);
        steps[i][0].act = UPSTREAM_READ;
        steps[i][1] = (struct upstream_step){UPSTREAM_SEND, texts[i], 0};
        steps[i][2].act = i < len ? end : UPSTREAM_CLOSE;
        steps[i][3].act = UPSTREAM_CLOSE;
        scripts[i] = steps[i];
    }
    run_all(a, scripts, count, seen);
    ck_assert_int_eq(seen[len].outcome, BACKEND_COMPLETE);
    for (size_t i = 0; i < count; i++) {
        judge(a, i, &seen[i], &seen[len]);
        if (end == UPSTREAM_CLOSE && i >= whole_from(a) && !ends_with_connection(a))
            ck_assert_int_eq(seen[i].outcome, BACKEND_COMPLETE);
    }
    for (size_t i = 0; i < count; i++) {
        buf_clear(&seen[i].bytes);
        free(texts[i]);
    }
    free(texts);
    free(scripts);
    free(steps);
    free(seen);
}

START_TEST(an_answer_that_is_closed_at_any_byte_is_broken_until_it_is_whole)
{
    cut_everywhere(&answers[_i], UPSTREAM_CLOSE);
}
END_TEST

/* What stood in the socket before a reset may be lost, so one that came whole may be broken too. */
START_TEST(an_answer_that_is_reset_at_any_byte_is_broken_until_it_is_whole)
{
    cut_everywhere(&answers[_i], UPSTREAM_RESET);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("cuts");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, an_answer_that_is_closed_at_any_byte_is_broken_until_it_is_whole, 0,
                        ARRAY_LEN(answers));
    tcase_add_loop_test(t, an_answer_that_is_reset_at_any_byte_is_broken_until_it_is_whole, 0,
                        ARRAY_LEN(answers));
    return run_tests(t, "openai_cut");
}
