/* test_echo.c - the built-in model on a real loop: what it says, what it counts, how it is steered. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/backend.h"
#include "backends/echo_prompt.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define WAIT_MS 60000

struct call {
    struct loop *loop;
    struct backend *backend;
    struct backend_call *call;
    struct buf bytes;
    int events, starts, ends;
    int64_t content;
    int closing_events, open_after_closing;
    bool ended;
    struct backend_result result;
    struct buf refusal;
    char content_type[64];
    int cancel_at, pause_at; /* at which event */
    int64_t output_seen;     /* by backend_usage() at the last event */
};

static void on_start(void *arg, unsigned status, struct span content_type)
{
    struct call *c = arg;

    ck_assert_uint_eq(status, 200);
    ck_assert_int_eq(c->events, 0);
    ck_assert(span_copy(content_type, c->content_type, sizeof c->content_type));
    c->starts++;
}

static void on_event(void *arg, const struct backend_event *event)
{
    struct call *c = arg;

    c->events++;
    c->content += event->content;
    c->closing_events += event->closing;
    c->open_after_closing += c->closing_events && !event->closing;
    c->output_seen = backend_usage(c->call)->bucket[USAGE_OUTPUT].n;
    buf_add_span(&c->bytes, event->bytes);
    if (c->events == c->cancel_at)
        backend_cancel(c->call);
    if (c->events == c->pause_at)
        backend_pause(c->call);
}

static void on_end(void *arg, const struct backend_result *result)
{
    struct call *c = arg;

    c->ends++;
    c->ended = true;
    c->result = *result;
    buf_add_span(&c->refusal, result->body);
}

static const struct backend_handlers handlers = {on_start, on_event, on_end};

static void call_open(struct call *c, int64_t delay_ms)
{
    const struct backend_config config = {.kind = "echo", .delay_ms = delay_ms};
    struct err err;

    *c = (struct call){.loop = loop_new(&err)};
    ck_assert(c->loop);
    c->backend = backend_open(c->loop, &config, &err);
    ck_assert(c->backend);
    buf_init(&c->bytes, SIZE_MAX);
    buf_init(&c->refusal, SIZE_MAX);
}

static void call_close(struct call *c)
{
    buf_clear(&c->bytes);
    buf_clear(&c->refusal);
    backend_free(c->backend);
    loop_free(c->loop);
}

static void call_start(struct call *c, const struct backend_request *r)
{
    struct err err;

    c->call = backend_start(c->backend, r, &handlers, c, &err);
    ck_assert_msg(c->call, "%s", err.text);
    ck_assert_int_eq(c->starts + c->events + c->ends, 0);
}

static void call_run(struct call *c, const struct backend_request *r)
{
    call_start(c, r);
    ck_assert(loop_run_until(c->loop, &c->ended, WAIT_MS));
    ck_assert_int_eq(c->ends, 1);
    ck_assert_int_eq(c->open_after_closing, 0);
}

static struct backend_request asking(const char *body, bool stream)
{
    return (struct backend_request){
        .body = span_of(body), .model = "up \"1\"", .stream = stream, .request_id = "r-1"};
}

/* The next event's JSON, null for [DONE]; checks what all chunks share. */
static json_t *next_chunk(const char **at, const char **id)
{
    const char *end = strstr(*at, "\n\n");
    json_t *chunk;

    ck_assert(end && strncmp(*at, "data: ", 6) == 0);
    chunk = json_loadb(*at + 6, (size_t)(end - *at) - 6, JSON_REJECT_DUPLICATES, NULL);
    if (!chunk)
        ck_assert_msg(strncmp(*at, "data: [DONE]", 12) == 0, "%s", *at);
    *at = end + 2;
    if (!chunk)
        return NULL;
    ck_assert_str_eq(json_string_value(json_object_get(chunk, "object")), "chat.completion.chunk");
    ck_assert_str_eq(json_string_value(json_object_get(chunk, "model")), "up \"1\"");
    ck_assert(json_is_integer(json_object_get(chunk, "created")));
    ck_assert_int_eq(strncmp(json_string_value(json_object_get(chunk, "id")), "chatcmpl-", 9), 0);
    if (!*id)
        *id = xstrdup(json_string_value(json_object_get(chunk, "id")));
    ck_assert_str_eq(*id, json_string_value(json_object_get(chunk, "id")));
    return chunk;
}

/* --- words --- */

START_TEST(words_joined_are_the_text)
{
    static const struct {
        const char *text;
        int64_t words;
    } texts[] = {{"", 0},        {" \n\t", 0},      {"one", 1},           {" one", 1},
                 {"one two", 2}, {"a  b\n\nc ", 3}, {"\r\n x \v\f y", 2}, {"世界 你好", 2}};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct span text = span_of(texts[i].text), word;
        size_t at = 0;
        int64_t words = 0;

        while ((word = echo_next_word(text, at)).len > 0) {
            ck_assert_ptr_eq(word.data, text.data + at);
            at += word.len;
            words++;
        }
        ck_assert_int_eq(words, texts[i].words);
        ck_assert_int_eq(echo_count_words(text), texts[i].words);
        ck_assert_uint_eq(at, words ? text.len : 0);
    }
}
END_TEST

START_TEST(the_last_user_message_is_repeated_and_all_messages_are_counted)
{
    static const struct {
        const char *body, *text;
        int64_t words;
    } bodies[] = {
        {"{\"messages\":[]}", "", 0},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"}]}", "", 2},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a b\"},{\"role\":\"assistant\","
         "\"content\":null},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"tool\","
         "\"content\":\"d e f\"}]}",
         "c", 6},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x y\"},"
         "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:a b\"}},"
         "{\"type\":\"text\",\"text\":\" z\"}]}]}",
         "x y z", 3},
    };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct echo_prompt p;
        struct err err;

        ck_assert_msg(echo_prompt_read(span_of(bodies[i].body), &p, &err), "%s", err.text);
        ck_assert(span_equal(buf_span(&p.text), span_of(bodies[i].text)));
        ck_assert_int_eq(p.input_words, bodies[i].words);
        echo_prompt_clear(&p);
    }
}
END_TEST

/* --- answers --- */

static const char question[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
    "{\"role\":\"user\",\"content\":\"say  \\\"it\\\"\\nagain, 世界 \"}]}";
static const char echoed[] = "say  \"it\"\nagain, 世界 ";

static void check_usage(const json_t *object, int64_t prompt, int64_t completion)
{
    const json_t *usage = json_object_get(object, "usage");

    ck_assert_int_eq(json_integer_value(json_object_get(usage, "prompt_tokens")), prompt);
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "completion_tokens")), completion);
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "total_tokens")),
                     prompt + completion);
}

static void check_buckets(const struct usage *u, int64_t input, int64_t output)
{
    ck_assert_int_eq(u->bucket[USAGE_INPUT].n, input);
    ck_assert_int_eq(u->bucket[USAGE_INPUT].source, USAGE_UPSTREAM);
    ck_assert_int_eq(u->bucket[USAGE_OUTPUT].n, output);
    ck_assert_int_eq(u->bucket[USAGE_OUTPUT].source, USAGE_UPSTREAM);
}

START_TEST(a_plain_answer_is_one_closing_event)
{
    struct backend_request r = asking(question, false);
    json_t *reply, *choice;
    struct call c;

    call_open(&c, 0);
    call_run(&c, &r);
    ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
    ck_assert_int_eq(c.events, 1);
    ck_assert_int_eq(c.closing_events, 1);
    ck_assert_int_eq(c.content, 1);
    ck_assert_str_eq(c.content_type, "application/json");
    reply = json_loads(c.bytes.data, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(reply, "object")), "chat.completion");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "choices")), 1);
    choice = json_array_get(json_object_get(reply, "choices"), 0);
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(choice, "message"), "content")), echoed);
    ck_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "stop");
    check_usage(reply, 6, 4);
    check_buckets(&c.result.usage, 6, 4);
    json_decref(reply);
    call_close(&c);
}
END_TEST

/* Role, four words, finish, perhaps usage, [DONE]. */
static void check_stream(const struct call *c, int64_t choices, bool usage_wanted)
{
    const char *at = c->bytes.data, *id = NULL;
    AUTO_STRING text = xstrdup("");

    for (int64_t step = 0; step < 6 * choices; step++) {
        json_t *chunk = next_chunk(&at, &id);
        json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
        json_t *delta = json_object_get(choice, "delta");
        const char *word = json_string_value(json_object_get(delta, "content"));

        ck_assert_int_eq(json_integer_value(json_object_get(choice, "index")), step % choices);
        ck_assert((json_object_get(delta, "role") != NULL) == (step < choices));
        ck_assert(json_is_null(json_object_get(chunk, "usage")) == usage_wanted);
        if (step / choices == 5)
            ck_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "stop");
        else
            ck_assert(json_is_null(json_object_get(choice, "finish_reason")));
        if (word && step % choices == 0) {
            char *longer = xasprintf("%s%s", text, word);

            free(text);
            text = longer;
        }
        json_decref(chunk);
    }
    ck_assert_str_eq(text, echoed);
    if (usage_wanted) {
        json_t *chunk = next_chunk(&at, &id);

        ck_assert_uint_eq(json_array_size(json_object_get(chunk, "choices")), 0);
        check_usage(chunk, 6, 4 * choices);
        json_decref(chunk);
    }
    ck_assert_ptr_null(next_chunk(&at, &id));
    ck_assert_str_eq(at, "");
    free((char *)(uintptr_t)id);
}

START_TEST(a_stream_is_role_words_finish_usage_and_done)
{
    for (int usage_wanted = 0; usage_wanted < 2; usage_wanted++) {
        for (int64_t choices = 1; choices <= 8; choices += 7) {
            struct backend_request r = asking(question, true);
            struct call c;

            r.usage_wanted = usage_wanted;
            r.choices = choices;
            call_open(&c, 0);
            call_run(&c, &r);
            ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
            ck_assert_str_eq(c.content_type, "text/event-stream");
            ck_assert_int_eq(c.starts, 1);
            ck_assert_int_eq(c.content, 4 * choices);
            ck_assert_int_eq(c.closing_events, usage_wanted ? 2 : 1);
            ck_assert_int_eq(c.output_seen, 4 * choices);
            check_buckets(&c.result.usage, 6, 4 * choices);
            check_stream(&c, choices, usage_wanted);
            call_close(&c);
        }
    }
}
END_TEST

START_TEST(the_smaller_cap_cuts_the_answer)
{
    static const struct {
        const char *stated;
        int64_t cap, words;
        const char *reason;
    } caps[] = {{NULL, 2, 2, "length"}, {"3", 0, 3, "length"}, {"3", 2, 2, "length"},
                {"1", 2, 1, "length"},  {NULL, 4, 4, "stop"},  {"null", 9, 4, "stop"}};

    for (size_t i = 0; i < ARRAY_LEN(caps) * 2; i++) {
        struct backend_request r = asking(question, i % 2);
        AUTO_STRING reason = xasprintf("\"finish_reason\":\"%s\"", caps[i / 2].reason);
        struct call c;

        r.output_cap = caps[i / 2].cap;
        if (caps[i / 2].stated)
            r.cap_value = span_of(caps[i / 2].stated);
        call_open(&c, 0);
        call_run(&c, &r);
        check_buckets(&c.result.usage, 6, caps[i / 2].words);
        ck_assert_ptr_nonnull(strstr(c.bytes.data, reason));
        call_close(&c);
    }
}
END_TEST

START_TEST(an_empty_message_gives_an_empty_answer)
{
    const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":\" \\n \"}]}";

    for (int stream = 0; stream < 2; stream++) {
        struct backend_request r = asking(body, stream);
        struct call c;

        call_open(&c, 0);
        call_run(&c, &r);
        ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
        ck_assert_int_eq(c.content, 0);
        ck_assert_ptr_nonnull(strstr(c.bytes.data, "\"content\":\"\""));
        ck_assert_ptr_nonnull(strstr(c.bytes.data, "\"finish_reason\":\"stop\""));
        check_buckets(&c.result.usage, 0, 0);
        call_close(&c);
    }
}
END_TEST

START_TEST(what_it_cannot_do_is_refused_as_a_provider_would)
{
    static const struct {
        const char *body;
        int64_t choices;
    } bad[] = {{"{\"messages\":7}", 1},
               {"{}", 1},
               {"{\"messages\":[{}]}", 1},
               {"{\"messages\":[\"a\"]}", 1},
               {question, 9}};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct backend_request r = asking(bad[i].body, i % 2);
        json_t *body;
        struct call c;

        r.choices = bad[i].choices;
        call_open(&c, 0);
        call_run(&c, &r);
        ck_assert_int_eq(c.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(c.result.status, 400);
        ck_assert_int_eq(c.starts + c.events, 0);
        ck_assert_int_eq(c.result.usage.bucket[USAGE_INPUT].source, USAGE_MISSING);
        body = json_loads(c.refusal.data, 0, NULL);
        ck_assert(json_is_string(json_object_get(json_object_get(body, "error"), "message")));
        json_decref(body);
        call_close(&c);
    }
}
END_TEST

/* --- steering --- */

START_TEST(each_word_waits_for_its_delay)
{
    for (int stream = 0; stream < 2; stream++) {
        struct backend_request r = asking(question, stream);
        int64_t start = clock_monotonic_ms();
        struct call c;

        call_open(&c, 25);
        call_run(&c, &r);
        ck_assert_int_ge(clock_monotonic_ms() - start, 4 * 25 - 4);
        ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_cancelled_call_ends_once_with_what_was_given)
{
    for (int at = 1; at <= 7; at++) {
        struct backend_request r = asking(question, true);
        struct call c;

        call_open(&c, 0);
        c.cancel_at = at;
        call_run(&c, &r);
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        ck_assert_int_eq(c.events, at);
        check_buckets(&c.result.usage, 6, c.content);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_call_cancelled_before_anything_or_while_paused_ends_too)
{
    for (int paused = 0; paused < 2; paused++) {
        struct backend_request r = asking(question, true);
        struct call c;

        call_open(&c, 60000);
        call_start(&c, &r);
        if (paused)
            backend_pause(c.call);
        backend_cancel(c.call);
        ck_assert_int_eq(c.ends, 0);
        ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
        ck_assert_int_eq(c.result.outcome, BACKEND_CANCELLED);
        ck_assert_int_eq(c.events, 0);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_paused_call_is_silent_and_then_goes_on)
{
    for (int at = 1; at <= 6; at++) {
        struct backend_request r = asking(question, true);
        bool never = false;
        struct call c;

        call_open(&c, 1);
        c.pause_at = at;
        call_start(&c, &r);
        ck_assert(!loop_run_until(c.loop, &never, 40));
        ck_assert_int_eq(c.events, at);
        backend_resume(c.call);
        ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
        ck_assert_int_eq(c.content, 4);
        ck_assert_int_eq(c.result.outcome, BACKEND_COMPLETE);
        check_stream(&c, 1, false);
        call_close(&c);
    }
}
END_TEST

START_TEST(a_long_answer_leaves_the_loop_to_others)
{
    struct buf body;
    struct backend_request r;
    bool never = false;
    struct call c;

    buf_init(&body, SIZE_MAX);
    buf_add_string(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    for (int i = 0; i < 20000; i++)
        buf_add_string(&body, "w ");
    buf_add_string(&body, "\"}]}");
    r = asking(body.data, true);
    call_open(&c, 0);
    call_start(&c, &r);
    ck_assert(!loop_run_until(c.loop, &never, 1));
    ck_assert_int_lt(c.events, 20000);
    ck_assert(loop_run_until(c.loop, &c.ended, WAIT_MS));
    ck_assert_int_eq(c.content, 20000);
    call_close(&c);
    buf_clear(&body);
}
END_TEST

START_TEST(only_known_kinds_open)
{
    const struct backend_config config = {.kind = "oracle"};
    const struct backend_config negative = {.kind = "echo", .delay_ms = -1};
    struct err err;
    AUTO(loop) loop = loop_new(&err);

    ck_assert(backend_kind_is_known("echo"));
    ck_assert(backend_kind_is_known("openai"));
    ck_assert(!backend_kind_is_known("oracle"));
    ck_assert_ptr_null(backend_open(loop, &config, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_null(backend_open(loop, &negative, &err));
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("echo");

    tcase_add_test(cases, words_joined_are_the_text);
    tcase_add_test(cases, the_last_user_message_is_repeated_and_all_messages_are_counted);
    tcase_add_test(cases, a_plain_answer_is_one_closing_event);
    tcase_add_test(cases, a_stream_is_role_words_finish_usage_and_done);
    tcase_add_test(cases, the_smaller_cap_cuts_the_answer);
    tcase_add_test(cases, an_empty_message_gives_an_empty_answer);
    tcase_add_test(cases, what_it_cannot_do_is_refused_as_a_provider_would);
    tcase_add_test(cases, each_word_waits_for_its_delay);
    tcase_add_test(cases, a_cancelled_call_ends_once_with_what_was_given);
    tcase_add_test(cases, a_call_cancelled_before_anything_or_while_paused_ends_too);
    tcase_add_test(cases, a_paused_call_is_silent_and_then_goes_on);
    tcase_add_test(cases, a_long_answer_leaves_the_loop_to_others);
    tcase_add_test(cases, only_known_kinds_open);
    return run_tests(cases, "echo");
}
