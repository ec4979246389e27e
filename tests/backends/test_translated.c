/* test_translated.c - what a call becomes in the other dialect: requests by vectors, recorded answers cut at every byte. */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>

#include "backends/neutral.h"
#include "backends/translated_call.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

/* A backend whose answers the test gives out itself. */
static struct {
    struct buf body; /* that it was asked */
    struct backend_call call;
    struct backend_handlers handlers;
    void *arg;
    bool is_cancelled;
} inner;

static void inner_nothing(struct backend_call *call)
{
    (void)call;
}

static void inner_cancel(struct backend_call *call)
{
    (void)call;
    inner.is_cancelled = true;
}

static struct backend_call *inner_start(struct backend *b, const struct backend_request *request,
                                        const struct backend_handlers *handlers, void *arg,
                                        struct err *err)
{
    (void)err;
    buf_truncate(&inner.body, 0);
    inner.body.max = SIZE_MAX;
    buf_add_span(&inner.body, request->body);
    inner.call = (struct backend_call){.kind = b->kind};
    inner.handlers = *handlers;
    inner.arg = arg;
    inner.is_cancelled = false;
    return &inner.call;
}

static const struct backend_kind openai_kind_of_test = {.name = "openai",
                                                        .speaks = 1u << DIALECT_OPENAI_CHAT,
                                                        .start = inner_start,
                                                        .pause = inner_nothing,
                                                        .resume = inner_nothing,
                                                        .cancel = inner_cancel};
static const struct backend_kind anthropic_kind_of_test = {.name = "anthropic",
                                                           .speaks = 1u
                                                                     << DIALECT_ANTHROPIC_MESSAGES,
                                                           .start = inner_start,
                                                           .pause = inner_nothing,
                                                           .resume = inner_nothing,
                                                           .cancel = inner_cancel};

struct outcome {
    struct buf bytes;
    int64_t content;
    bool closed, ended;
    struct backend_result result;
    struct buf refusal;
};

static void on_start(void *arg, unsigned status, struct span content_type)
{
    (void)arg;
    (void)content_type;
    ck_assert_uint_eq(status, 200);
}

static void on_event(void *arg, const struct backend_event *event)
{
    struct outcome *o = arg;

    ck_assert(event->closing || !o->closed);
    o->closed = event->closing;
    o->content += event->content;
    buf_add_span(&o->bytes, event->bytes);
}

static void on_end(void *arg, const struct backend_result *result)
{
    struct outcome *o = arg;

    o->ended = true;
    o->result = *result;
    buf_add_span(&o->refusal, result->body);
}

static void outcome_clear(struct outcome *o)
{
    buf_clear(&o->bytes);
    buf_clear(&o->refusal);
}
DEFINE_AUTO_CLEAR(outcome)

static struct backend_call *start(struct backend *b, enum dialect dialect, const char *body,
                                  bool stream, struct outcome *o)
{
    static const struct backend_handlers handlers = {on_start, on_event, on_end};
    struct backend_request request = {.dialect = dialect,
                                      .body = span_of(body),
                                      .model = "real",
                                      .stream = stream,
                                      .choices = 1,
                                      .output_cap = 77,
                                      .request_id = "req_1"};
    struct backend_call *call;
    struct err err;

    *o = (struct outcome){.ended = false};
    o->bytes.max = o->refusal.max = SIZE_MAX;
    call = translated_call_start(b, &request, &handlers, o, &err);
    ck_assert_ptr_nonnull(call);
    return call;
}

static struct backend backend_of(const struct backend_kind *kind, struct loop *loop)
{
    return (struct backend){.kind = kind, .loop = loop};
}

/* --- requests */

static const struct vector {
    enum dialect from;
    const char *body, *becomes; /* or what the refusal says */
    bool is_refused;
} vectors[] = {
#define FROM_MESSAGES(in, out)                                                   \
    {                                                                            \
        DIALECT_ANTHROPIC_MESSAGES, "{\"model\":\"m\",\"max_tokens\":9," in "}", \
            "{\"model\":\"real\",\"max_tokens\":77," out "}", false              \
    }
#define FROM_CHAT(in, out)                                          \
    {                                                               \
        DIALECT_OPENAI_CHAT, "{\"model\":\"m\"," in "}",            \
            "{\"model\":\"real\",\"max_tokens\":77," out "}", false \
    }
#define NO_MESSAGES(in, says)                                                               \
    {                                                                                       \
        DIALECT_ANTHROPIC_MESSAGES, "{\"model\":\"m\",\"max_tokens\":9," in "}", says, true \
    }
#define NO_CHAT(in, says)                                           \
    {                                                               \
        DIALECT_OPENAI_CHAT, "{\"model\":\"m\"," in "}", says, true \
    }
    FROM_MESSAGES("\"messages\":[]", "\"messages\":[]"),
    FROM_MESSAGES("\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\\n\"}]",
                  "\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\\n\"}]"),
    FROM_MESSAGES("\"temperature\":1e-1,\"thinking\":{\"type\":\"enabled\"},\"messages\":[]",
                  "\"temperature\":1e-1,\"messages\":[]"),
    FROM_MESSAGES(
        "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
        "{\"role\":\"user\",\"content\":\"b\"}]",
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}]}]"),
    FROM_MESSAGES("\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
                  "\"id\":\"t1\",\"name\":\"f\",\"input\":{\"n\":0.10}}]},{\"role\":\"user\","
                  "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"is_error\":true,"
                  "\"content\":\"no\"}]}]",
                  "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":"
                  "\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
                  "\"{\\\"n\\\":0.10}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"t1\",\"content\":"
                  "\"no\"}]"),
    FROM_MESSAGES("\"messages\":[],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"x\":1.0}}],"
                  "\"tool_choice\":{\"type\":\"any\"}",
                  "\"messages\":[],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                  "\"parameters\":{\"x\":1.0}}}],\"tool_choice\":\"required\""),
    NO_MESSAGES("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]",
                "messages[0]: content[0]"),
    NO_MESSAGES("\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]", "'role'"),
    NO_MESSAGES("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                "\"tool_use_id\":\"t\",\"content\":[{\"type\":\"image\"}]}]}]",
                "only as text"),
    NO_MESSAGES("\"messages\":[],\"container\":\"c\"", "'container'"),
    NO_MESSAGES("\"messages\":[],\"new\":1", "'new'"),
    FROM_CHAT(
        "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
        "\"content\":\"u\"},{\"role\":\"developer\",\"content\":\"d\"}]",
        "\"system\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":\"text\",\"text\":\"d\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u\"}]}]"),
    FROM_CHAT("\"max_tokens\":5,\"stop\":\"END\",\"user\":\"u\",\"seed\":7,\"n\":1,\"messages\":[]",
              "\"stop_sequences\":[\"END\"],\"metadata\":{\"user_id\":\"u\"},\"messages\":[]"),
    FROM_CHAT(
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
        "{\"url\":\"data:image/png;base64,aGk=\"}},{\"type\":\"image_url\",\"image_url\":"
        "{\"url\":\"https://e/x\"}}]}]",
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":"
        "\"base64\",\"media_type\":\"image/png\",\"data\":\"aGk=\"}},{\"type\":\"image\","
        "\"source\":{\"type\":\"url\",\"url\":\"https://e/x\"}}]}]"),
    FROM_CHAT(
        "\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"a\","
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"n\\\":0.10}\"}},"
        "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},{\"role\":\"tool\","
        "\"tool_call_id\":\"b\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]},"
        "{\"role\":\"user\",\"content\":\"go on\"}]",
        "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","
        "\"name\":\"f\",\"input\":{\"n\":0.10}},{\"type\":\"tool_use\",\"id\":\"b\",\"name\":"
        "\"g\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"a\",\"content\":\"1\"},{\"type\":\"tool_result\",\"tool_use_id\":"
        "\"b\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]},{\"type\":\"text\",\"text\":"
        "\"go on\"}]}]"),
    FROM_CHAT("\"messages\":[],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
              "\"parallel_tool_calls\":false",
              "\"messages\":[],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\","
              "\"properties\":{}}}],\"tool_choice\":{\"type\":\"auto\","
              "\"disable_parallel_tool_use\":true}"),
    NO_CHAT("\"messages\":[],\"n\":2", "'n' must be 1"),
    NO_CHAT("\"messages\":[],\"logprobs\":true", "'logprobs'"),
    NO_CHAT("\"messages\":[],\"response_format\":{\"type\":\"json_object\"}", "'response_format'"),
    NO_CHAT("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]",
            "messages[0]: content[0]"),
    NO_CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":"
            "{\"name\":\"f\",\"arguments\":\"{oops\"}}]}]",
            "no JSON object"),
    NO_CHAT("\"messages\":[{\"role\":\"function\",\"content\":\"x\"}]", "'role'"),
};

static const struct backend_kind *other_kind(enum dialect from)
{
    return from == DIALECT_OPENAI_CHAT ? &anthropic_kind_of_test : &openai_kind_of_test;
}

static void cut_short(struct outcome *o, struct backend_call *call)
{
    struct backend_result cancelled = {.outcome = BACKEND_CANCELLED};

    (void)call;
    if (!o->ended)
        inner.handlers.on_end(inner.arg, &cancelled);
}

START_TEST(a_request_becomes_what_its_vector_says)
{
    const struct vector *v = &vectors[_i];
    struct loop *loop = loop_new(NULL);
    struct backend b = backend_of(other_kind(v->from), loop);
    AUTO_CLEAR(outcome) o = {.ended = false};
    struct backend_call *call = start(&b, v->from, v->body, false, &o);

    if (v->is_refused) {
        ck_assert(loop_run_until(loop, &o.ended, 60000));
        ck_assert_int_eq(o.result.outcome, BACKEND_REFUSED);
        ck_assert_uint_eq(o.result.status, 400);
        ck_assert_msg(strstr(o.refusal.data, v->becomes), "%s", o.refusal.data);
    } else {
        ck_assert_str_eq(inner.body.data, v->becomes);
        cut_short(&o, call);
    }
    loop_free(loop);
    buf_clear(&inner.body);
}
END_TEST

/* --- answers */

#define RECORDING_MAX 65536
#define ID_RANDOM     24

static const struct recording {
    const char *name;
    enum dialect asked;
    const char *says; /* a part of the answer */
} recordings[] = {
    {"openai_usage", DIALECT_ANTHROPIC_MESSAGES, "\"stop_reason\":\"end_turn\""},
    {"llama_cpp", DIALECT_ANTHROPIC_MESSAGES, "\"type\":\"text_delta\""},
    {"azure", DIALECT_ANTHROPIC_MESSAGES, "\"type\":\"text_delta\""},
    {"crlf", DIALECT_ANTHROPIC_MESSAGES, "\"type\":\"text_delta\""},
    {"vllm_continuous", DIALECT_ANTHROPIC_MESSAGES, "\"type\":\"text_delta\""},
    {"tool_calls", DIALECT_ANTHROPIC_MESSAGES, "\"stop_reason\":\"tool_use\""},
    {"anthropic/text", DIALECT_OPENAI_CHAT, "\"finish_reason\":\"stop\""},
    {"anthropic/tools", DIALECT_OPENAI_CHAT, "\"finish_reason\":\"tool_calls\""},
};

static void read_recording(const char *name, struct buf *out)
{
    const char *top = getenv("TOP_SRCDIR");
    AUTO_STRING path = xasprintf("%s/tests/data/streams/%s.sse", top ? top : ".", name);
    struct err err;

    buf_init(out, RECORDING_MAX);
    ck_assert_msg(file_read(path, out, &err), "%s", err.text);
}

/* What is drawn for every answer, and the second at which it came, are made the same. */
static void mask(struct buf *bytes)
{
    static const char *const before[] = {"\"id\":\"msg_", "\"id\":\"chatcmpl-", "\"created\":"};
    static const size_t lengths[] = {ID_RANDOM, ID_RANDOM, 10};

    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        for (char *at = bytes->data; at && (at = strstr(at, before[i])); at += lengths[i]) {
            at += strlen(before[i]);
            memset(at, '0', lengths[i]);
        }
}

/* Gives out the recording in two pieces cut at `cut`; 0: byte by byte. */
static void replay(const struct recording *r, struct span in, size_t cut, struct outcome *o)
{
    struct loop *loop = loop_new(NULL);
    struct backend b = backend_of(other_kind(r->asked), loop);
    struct backend_result result = {.outcome = BACKEND_COMPLETE, .accepted = true};

    (void)start(&b, r->asked, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[]}", true, o);
    usage_set(&inner.call.usage, USAGE_INPUT, 30, USAGE_UPSTREAM);
    usage_set(&inner.call.usage, USAGE_CACHED_INPUT, 5, USAGE_UPSTREAM);
    usage_set(&inner.call.usage, USAGE_OUTPUT, 12, USAGE_UPSTREAM);
    result.usage = inner.call.usage;
    inner.handlers.on_start(inner.arg, 200, SPAN("text/event-stream; charset=x"));
    for (size_t at = 0, n; at < in.len; at += n) {
        struct backend_event event = {.content = 1};

        n = cut == 0 ? 1 : at == 0 && cut < in.len ? cut : in.len - at;
        event.bytes = (struct span){in.data + at, n};
        inner.handlers.on_event(inner.arg, &event);
    }
    inner.handlers.on_end(inner.arg, &result);
    ck_assert_msg(o->result.outcome == BACKEND_COMPLETE, "%s: %s", r->name, o->result.err.text);
    mask(&o->bytes);
    loop_free(loop);
}

START_TEST(an_answer_is_the_same_wherever_it_is_cut)
{
    const struct recording *r = &recordings[_i];
    AUTO_CLEAR(buf) in = {.max = 0};
    AUTO_CLEAR(outcome) whole = {.ended = false};

    read_recording(r->name, &in);
    replay(r, buf_span(&in), in.len, &whole);
    ck_assert_msg(strstr(whole.bytes.data, r->says), "%s", whole.bytes.data);
    for (size_t cut = 0; cut < in.len; cut++) {
        AUTO_CLEAR(outcome) o = {.ended = false};

        replay(r, buf_span(&in), cut, &o);
        ck_assert_msg(span_equal(buf_span(&o.bytes), buf_span(&whole.bytes)), "%s cut at %zu",
                      r->name, cut);
    }
    buf_clear(&inner.body);
}
END_TEST

#define HEAD                                                                              \
    "{\"id\":\"chatcmpl-000000000000000000000000\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":0000000000,\"model\":\"claude-x\",\"choices\":[{\"index\":0,\"delta\":"
#define CHUNK(delta)      "data: " HEAD delta ",\"finish_reason\":null}]}\n\n"
#define CALL(index, rest) CHUNK("{\"tool_calls\":[{\"index\":" index "," rest "}]}")
#define BEGIN_CALL(id, fn)                                                                     \
    "\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" fn "\",\"arguments\":" \
    "\"\"}"
#define ARGUMENTS(text) "\"function\":{\"arguments\":\"" text "\"}"

START_TEST(a_stream_of_messages_becomes_these_chunks)
{
    static const char want[] = CHUNK("{\"role\":\"assistant\",\"content\":\"\"}")
        CHUNK("{\"reasoning_content\":\"which tool\"}") CHUNK("{\"content\":\"I look:\"}")
            CALL("0", BEGIN_CALL("toolu_1", "weather")) CALL("0", ARGUMENTS("{\\\"city\\\":"))
                CALL("0", ARGUMENTS(" \\\"Ulm\\\"}")) CALL("1", BEGIN_CALL("toolu_2", "now"))
                    CALL("1", ARGUMENTS("{}")) "data: " HEAD
                                               "{},\"finish_reason\":\"tool_calls\"}]}\n\n"
                                               "data: [DONE]\n\n";
    const struct recording r = {"anthropic/tools", DIALECT_OPENAI_CHAT, NULL};
    AUTO_CLEAR(buf) in = {.max = 0};
    AUTO_CLEAR(outcome) o = {.ended = false};

    read_recording(r.name, &in);
    replay(&r, buf_span(&in), in.len, &o);
    ck_assert_str_eq(o.bytes.data, want);
    buf_clear(&inner.body);
}
END_TEST

/* Gives out one plain answer, or the events of a stream; what came of it. */
static void answer(enum dialect asked, bool stream, const char *text, struct outcome *o)
{
    struct loop *loop = loop_new(NULL);
    struct backend b = backend_of(other_kind(asked), loop);
    struct backend_result result = {.outcome = BACKEND_COMPLETE, .accepted = true};
    const struct backend_event event = {.bytes = span_of(text), .content = 1, .closing = !stream};

    (void)start(&b, asked, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[]}", stream, o);
    usage_set(&inner.call.usage, USAGE_OUTPUT, 12, USAGE_UPSTREAM);
    inner.handlers.on_start(inner.arg, 200, SPAN("x"));
    inner.handlers.on_event(inner.arg, &event);
    if (inner.is_cancelled)
        result.outcome = BACKEND_CANCELLED;
    inner.handlers.on_end(inner.arg, &result);
    mask(&o->bytes);
    loop_free(loop);
    buf_clear(&inner.body);
}

START_TEST(a_plain_message_becomes_this_chat_completion)
{
    AUTO_CLEAR(outcome) o = {.ended = false};

    answer(DIALECT_OPENAI_CHAT, false,
           "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\","
           "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},"
           "{\"type\":\"text\",\"text\":\"a \\\"b\\\"\"},{\"type\":\"tool_use\",\"id\":\"t1\","
           "\"name\":\"f\",\"input\":{\"n\":0.10}},{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":"
           "\"g\",\"input\":{}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null}",
           &o);
    ck_assert_str_eq(
        o.bytes.data,
        "{\"id\":\"chatcmpl-000000000000000000000000\",\"object\":\"chat.completion\",\"created\":"
        "0000000000,\"model\":\"claude-x\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"a \\\"b\\\"\",\"reasoning_content\":\"hm\",\"refusal\":null,"
        "\"tool_calls\":[{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"n\\\":0.10}\"}},{\"id\":\"t2\",\"type\":\"function\",\"function\":"
        "{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"logprobs\":null,\"finish_reason\":"
        "\"tool_calls\"}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":12,"
        "\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":0}}}");
    ck_assert(o.closed);
}
END_TEST

static const struct broken {
    bool stream;
    const char *text, *says;
} broken[] = {
    {false, "{\"choices\":[]}", "no choice"},
    {true,
     "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"a\"}},"
     "{\"index\":1,\"function\":{\"name\":\"b\"}},{\"index\":0,\"function\":{\"arguments\":"
     "\"x\"}}]}}]}\n\n",
     "goes on with a tool call"},
};

START_TEST(an_answer_that_cannot_be_translated_is_broken)
{
    AUTO_CLEAR(outcome) o = {.ended = false};

    answer(DIALECT_ANTHROPIC_MESSAGES, broken[_i].stream, broken[_i].text, &o);
    ck_assert_int_eq(o.result.outcome, BACKEND_BROKEN);
    ck_assert_msg(strstr(o.result.err.text, broken[_i].says), "%s", o.result.err.text);
    ck_assert_uint_eq(o.bytes.len, 0);
}
END_TEST

START_TEST(an_event_that_is_too_long_is_broken_and_not_kept)
{
    AUTO_CLEAR(outcome) o = {.ended = false};
    AUTO_CLEAR(buf) text = {.max = SIZE_MAX};

    buf_add_string(&text, "data: {\"choices\":[{\"delta\":{\"content\":\"");
    for (size_t i = 0; i < 2 * 1024 * 1024; i += 16)
        buf_add_string(&text, "sixteen letters ");
    buf_add_string(&text, "\"}}]}\n\n");
    answer(DIALECT_ANTHROPIC_MESSAGES, true, text.data, &o);
    ck_assert_int_eq(o.result.outcome, BACKEND_BROKEN);
    ck_assert_ptr_nonnull(strstr(o.result.err.text, "too long"));
}
END_TEST

START_TEST(of_a_refusal_only_its_sentence_is_translated)
{
    static const struct {
        enum dialect asked;
        const char *body, *becomes;
    } rows[] = {
        {DIALECT_ANTHROPIC_MESSAGES, "{\"error\":{\"message\":\"no \\\"x\\\"\",\"code\":7}}",
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no "
         "\\\"x\\\"\"},\"request_id\":\"req_1\"}"},
        {DIALECT_OPENAI_CHAT,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}",
         "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":null}}"},
        {DIALECT_OPENAI_CHAT, "<html>", ""},
        {DIALECT_OPENAI_CHAT, "{\"error\":\"no\"}", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct loop *loop = loop_new(NULL);
        struct backend b = backend_of(other_kind(rows[i].asked), loop);
        AUTO_CLEAR(outcome) o = {.ended = false};
        struct backend_result result = {
            .outcome = BACKEND_REFUSED, .status = 422, .body = span_of(rows[i].body)};

        (void)start(&b, rows[i].asked, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[]}", false,
                    &o);
        inner.handlers.on_end(inner.arg, &result);
        ck_assert_uint_eq(o.result.status, 422);
        ck_assert(span_equal(buf_span(&o.refusal), span_of(rows[i].becomes)));
        loop_free(loop);
        buf_clear(&inner.body);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("calls");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_request_becomes_what_its_vector_says, 0, (int)ARRAY_LEN(vectors));
    tcase_add_loop_test(t, an_answer_is_the_same_wherever_it_is_cut, 0, (int)ARRAY_LEN(recordings));
    tcase_add_test(t, a_stream_of_messages_becomes_these_chunks);
    tcase_add_test(t, a_plain_message_becomes_this_chat_completion);
    tcase_add_loop_test(t, an_answer_that_cannot_be_translated_is_broken, 0,
                        (int)ARRAY_LEN(broken));
    tcase_add_test(t, an_event_that_is_too_long_is_broken_and_not_kept);
    tcase_add_test(t, of_a_refusal_only_its_sentence_is_translated);
    return run_tests(t, "translated");
}
