/* test_openai_stream.c - recorded answers of several servers, cut at every byte, must always come out the same. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/openai_stream.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define RECORDING_MAX 65536
#define WHOLE         65536 /* event_bytes_max at which every recorded event is looked at whole */

/* All that can be seen of an answer. */
struct outcome {
    struct buf bytes;
    int64_t content, content_at_closing;
    size_t closing_at; /* bytes passed before the first closing event */
    bool closed, opened_again;
    bool taken, complete;
    struct err err;
    struct usage usage;
};

static void on_event(void *arg, const struct backend_event *event)
{
    struct outcome *o = arg;

    if (event->closing && !o->closed) {
        o->closed = true;
        o->closing_at = o->bytes.len;
    }
    o->opened_again = o->opened_again || (o->closed && !event->closing);
    o->content += event->content;
    ck_assert(event->bytes.len > 0);
    ck_assert(buf_add_span(&o->bytes, event->bytes));
}

struct settings {
    bool usage_wanted;
    int64_t choices;
    size_t event_bytes_max;
};

/* Feeds `in` in two pieces cut at `cut`, or, with cut 0, byte by byte. */
static void run(struct span in, size_t cut, struct settings set, struct outcome *o)
{
    const struct openai_stream_plan plan = {set.usage_wanted, set.choices, set.event_bytes_max,
                                            on_event, o};
    AUTO(openai_stream) s = NULL;

    *o = (struct outcome){.taken = true};
    buf_init(&o->bytes, SIZE_MAX);
    s = openai_stream_new(&plan);
    for (size_t at = 0, n; at < in.len && o->taken; at += n) {
        char *piece; /* of its own, so that a read beyond it is found */

        n = cut == 0 ? 1 : at == 0 && cut < in.len ? cut : in.len - at;
        piece = xstrndup(in.data + at, n);
        o->taken = openai_stream_feed(s, piece, n, &o->err);
        free(piece);
    }
    o->complete = o->taken && openai_stream_end(s, &o->err);
    (void)openai_stream_usage(s, &o->usage);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return span_equal(buf_span(&a->bytes), buf_span(&b->bytes)) && a->content == b->content &&
           a->closed == b->closed && a->closing_at == b->closing_at && a->taken == b->taken &&
           a->complete == b->complete && strcmp(a->err.text, b->err.text) == 0 &&
           memcmp(&a->usage, &b->usage, sizeof a->usage) == 0;
}

static void read_recording(const char *name, struct buf *out)
{
    const char *top = getenv("TOP_SRCDIR");
    AUTO_STRING path = xasprintf("%s/tests/data/streams/%s.sse", top ? top : ".", name);
    struct err err;

    buf_init(out, RECORDING_MAX);
    ck_assert_msg(file_read(path, out, &err), "%s", err.text);
}

/* --- what each recording must give --- */

#define NONE (-1)
static const struct expected {
    const char *name;
    int64_t choices;
    bool taken, complete;
    int64_t content;
    int64_t input, cached, output, reasoning; /* NONE: missing */
    enum usage_source output_source;
    const char *closing_wanted,
        *closing; /* how the closing part begins, with and without usage_wanted */
} recordings[] = {
    {"openai_usage", 1, true, true, 4, 100, 1024, 14, 7, USAGE_UPSTREAM,
     "data: {\"id\":\"chatcmpl-CfQ8wA1\"", "data: [DONE]\n\n"},
    {"llama_cpp", 1, true, true, 3, 30, 0, 4, NONE, USAGE_UPSTREAM, "data: {\"choices\":[],",
     "data: [DONE]\n\n"},
    {"llama_cpp_two", 2, true, true, 4, 24, 0, 6, NONE, USAGE_UPSTREAM, "data: {\"choices\":[],",
     "data: [DONE]\n\n"},
    {"vllm_continuous", 1, true, true, 4, 17, NONE, 5, NONE, USAGE_UPSTREAM,
     "data: {\"id\":\"chatcmpl-7f0c\"", "data: {\"id\":\"chatcmpl-7f0c\""},
    {"azure", 1, true, true, 2, 9, 0, 2, 0, USAGE_UPSTREAM, "data: {\"choices\":[],",
     "data: [DONE]\n\n"},
    {"tool_calls", 1, true, true, 5, 80, 0, 31, 0, USAGE_UPSTREAM, "data: {\"id\"",
     "data: [DONE]\n\n"},
    {"openai_two", 2, true, true, 3, 10, 0, 3, 0, USAGE_UPSTREAM, "data: {\"id\"",
     "data: [DONE]\n\n"},
    {"error_midway", 1, false, false, 1, NONE, NONE, 1, NONE, USAGE_COUNTED, NULL, NULL},
    {"error_event", 1, false, false, 1, NONE, NONE, 1, NONE, USAGE_COUNTED, NULL, NULL},
    {"cut", 1, true, false, 1, NONE, NONE, 1, NONE, USAGE_COUNTED, NULL, NULL},
    {"crlf", 1, true, true, 2, 5, 0, 2, 0, USAGE_UPSTREAM, "data: {\"id\"", "data: [DONE]\r\n\r\n"},
    {"no_done", 1, true, true, 1, 30, 0, 1, NONE, USAGE_UPSTREAM, "data: {\"choices\":[],",
     "data: [DONE]\n\n"},
    {"after_done", 1, true, true, 1, NONE, NONE, 1, NONE, USAGE_COUNTED, "data: [DONE]\n\n",
     "data: [DONE]\n\n"},
    {"usage_in_finish", 1, true, true, 2, 0, 8, 2, NONE, USAGE_UPSTREAM, "data: {\"id\":\"x1\"",
     "data: {\"id\":\"x1\""},
};

static void check_bucket(const struct expected *e, const struct usage *u, enum usage_bucket b,
                         int64_t n, enum usage_source source)
{
    if (n == NONE)
        source = USAGE_MISSING;
    ck_assert_msg(u->bucket[b].source == source && (n == NONE || u->bucket[b].n == n),
                  "%s: %s is %lld", e->name, usage_bucket_name(b), (long long)u->bucket[b].n);
}

static void check_outcome(const struct expected *e, const struct outcome *o, bool usage_wanted)
{
    const char *closing = usage_wanted ? e->closing_wanted : e->closing;

    ck_assert_msg(o->taken == e->taken && o->complete == e->complete, "%s: %s", e->name,
                  o->err.text);
    ck_assert_int_eq(o->content, e->content);
    check_bucket(e, &o->usage, USAGE_INPUT, e->input, USAGE_UPSTREAM);
    check_bucket(e, &o->usage, USAGE_CACHED_INPUT, e->cached, USAGE_UPSTREAM);
    check_bucket(e, &o->usage, USAGE_OUTPUT, e->output, e->output_source);
    check_bucket(e, &o->usage, USAGE_REASONING, e->reasoning, USAGE_UPSTREAM);
    ck_assert(!o->opened_again);
    ck_assert_msg(o->closed == (closing != NULL), "%s", e->name);
    if (closing)
        ck_assert_msg(strncmp(o->bytes.data + o->closing_at, closing, strlen(closing)) == 0,
                      "%s closes with %s", e->name, o->bytes.data + o->closing_at);
}

START_TEST(a_recorded_answer_gives_what_it_states)
{
    const struct expected *e = &recordings[_i];
    struct outcome wanted, unwanted;
    struct buf in;

    read_recording(e->name, &in);
    run(buf_span(&in), in.len, (struct settings){true, e->choices, WHOLE}, &wanted);
    check_outcome(e, &wanted, true);
    run(buf_span(&in), in.len, (struct settings){false, e->choices, WHOLE}, &unwanted);
    check_outcome(e, &unwanted, false);
    buf_clear(&wanted.bytes);
    buf_clear(&unwanted.bytes);
    buf_clear(&in);
}
END_TEST

/* Three ways to look at it: whole events without usage (at every byte), with usage, and in parts (at some). */
START_TEST(an_answer_is_the_same_wherever_it_is_cut)
{
    const struct expected *e = &recordings[_i];
    const struct settings ways[] = {
        {false, e->choices, WHOLE}, {true, e->choices, WHOLE}, {false, e->choices, 48}};
    struct buf in;

    read_recording(e->name, &in);
    for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
        struct outcome whole, cut;

        run(buf_span(&in), in.len, ways[w], &whole);
        for (size_t at = 0; at < in.len; at += w == 0 ? 1 : 7) {
            run(buf_span(&in), at, ways[w], &cut);
            ck_assert_msg(same(&whole, &cut), "%s cut at %zu, way %zu", e->name, at, w);
            buf_clear(&cut.bytes);
        }
        buf_clear(&whole.bytes);
    }
    buf_clear(&in);
}
END_TEST

/* --- bytes --- */

static const char done[] = "data: [DONE]";

START_TEST(for_a_client_that_asked_for_usage_all_bytes_pass)
{
    const struct expected *e = &recordings[_i];
    struct outcome o;
    struct buf in;
    const char *end;
    size_t n;

    read_recording(e->name, &in);
    run(buf_span(&in), 7, (struct settings){true, e->choices, WHOLE}, &o);
    end = strstr(in.data, done);
    n = !e->complete ? o.bytes.len : end ? (size_t)(end - in.data) + strlen(done) : in.len;
    ck_assert_msg(o.bytes.len >= n && memcmp(in.data, o.bytes.data, n) == 0, "%s", e->name);
    if (e->complete)
        ck_assert_int_eq(strspn(o.bytes.data + o.bytes.len - 2, "\r\n"), 2);
    buf_clear(&o.bytes);
    buf_clear(&in);
}
END_TEST

/* The JSON of the next `data:` line, or null for what is none; *at moves on. Fails on a line that is no SSE. */
static json_t *next_chunk(const char **at)
{
    while (**at) {
        const char *line = *at;
        size_t n = strcspn(line, "\r\n");

        *at += n + strspn(line + n, "\r\n");
        if (strncmp(line, "data:", 5) == 0)
            return json_loadb(line + 5, n - 5, 0, NULL);
    }
    return NULL;
}

START_TEST(for_a_client_that_did_not_ask_only_usage_is_taken_out)
{
    const struct expected *e = &recordings[_i];
    const char *in_at, *out_at;
    struct outcome o;
    struct buf in;
    json_t *want, *got;

    read_recording(e->name, &in);
    run(buf_span(&in), 7, (struct settings){false, e->choices, WHOLE}, &o);
    in_at = in.data;
    out_at = o.bytes.data;
    while ((want = next_chunk(&in_at))) {
        bool only_usage = json_is_object(json_object_get(want, "usage")) &&
                          json_array_size(json_object_get(want, "choices")) == 0;

        json_object_del(want, "usage");
        if (!only_usage) {
            got = next_chunk(&out_at);
            ck_assert_msg(json_equal(want, got), "%s: before %s", e->name, out_at);
            json_decref(got);
        }
        json_decref(want);
    }
    ck_assert_ptr_null(next_chunk(&out_at));
    ck_assert_ptr_null(strstr(o.bytes.data, "\"usage\""));
    buf_clear(&o.bytes);
    buf_clear(&in);
}
END_TEST

START_TEST(a_long_event_passes_whole_but_not_before_it_is_known_what_it_says)
{
    const struct expected *e = &recordings[_i];
    struct outcome o;
    struct buf in;
    const char *end;

    read_recording(e->name, &in);
    run(buf_span(&in), 7, (struct settings){false, e->choices, 48}, &o);
    ck_assert_msg(o.complete == e->complete && o.content == e->content, "%s: %s", e->name,
                  o.err.text);
    check_bucket(e, &o.usage, USAGE_INPUT, e->input, USAGE_UPSTREAM);
    check_bucket(e, &o.usage, USAGE_OUTPUT, e->output, e->output_source);
    end = strstr(in.data, done);
    ck_assert_uint_ge(o.bytes.len, end ? (size_t)(end - in.data) : 0);
    ck_assert(memcmp(in.data, o.bytes.data, o.bytes.len < in.len ? o.bytes.len : in.len) == 0);
    buf_clear(&o.bytes);
    buf_clear(&in);
}
END_TEST

/* --- single properties --- */

static void run_text(const char *text, int64_t choices, struct outcome *o)
{
    run(span_of(text), 3, (struct settings){false, choices, WHOLE}, o);
    buf_clear(&o->bytes);
}

START_TEST(a_stream_that_ends_unfinished_is_never_complete)
{
    static const char *const texts[] = {
        "",
        ": ping\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
        "data: "
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"",
    };
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        run_text(texts[i], 1, &o);
        ck_assert_msg(!o.complete && o.err.text[0], "%s", texts[i]);
        ck_assert(!o.closed);
    }
    run_text("data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n", 2, &o);
    ck_assert(!o.complete);
    run_text("data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},"
             "{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n",
             2, &o);
    ck_assert(o.complete && o.closed);
}
END_TEST

START_TEST(a_last_event_without_its_blank_line_counts)
{
    static const char *const ends[] = {"data: [DONE]", "data:[DONE]\n", "data: [DONE]\r\n",
                                       "data: [DONE]\r"};
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        run_text(ends[i], 1, &o);
        ck_assert_msg(o.complete && o.closed && o.closing_at == 0, "%s", ends[i]);
    }
}
END_TEST

START_TEST(garbage_breaks_the_stream_before_it_is_passed_on)
{
    static const char *const texts[] = {
        "data: {\"choices\":[}\n\n", "data: hello\n\n", "data: 17\n\n",         "data: [1]\n\n",
        "data: {} {}\n\n",           "data: {\n\n",     "data: \"[DONE]\"\n\n", "data: \xff\n\n",
    };
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        run(span_of(texts[i]), 3, (struct settings){true, 1, WHOLE}, &o);
        ck_assert_msg(!o.taken && o.err.code == ERR_PROTOCOL, "%s", texts[i]);
        ck_assert_uint_eq(o.bytes.len, 0);
        buf_clear(&o.bytes);
    }
}
END_TEST

START_TEST(the_error_of_a_provider_is_passed_on_and_its_words_are_not_kept)
{
    static const char *const texts[] = {
        "data: {\"error\":{\"message\":\"no memory\",\"code\":500}}\n\n",
        "data: {\"error\":\"no memory\"}\n\n",
        "event: error\ndata: no memory\n\n",
        "event: error\n\n",
    };
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        run(span_of(texts[i]), 3, (struct settings){false, 1, WHOLE}, &o);
        ck_assert(!o.taken);
        ck_assert_ptr_nonnull(strstr(o.err.text, "reports an error"));
        ck_assert_ptr_null(strstr(o.err.text, "memory"));
        ck_assert_str_eq(o.bytes.data, texts[i]);
        buf_clear(&o.bytes);
    }
    run_text("data: {\"error\":null,\"choices\":[]}\n\ndata: [DONE]\n\n", 1, &o);
    ck_assert(o.complete);
}
END_TEST

START_TEST(usage_is_spliced_out_wherever_it_stands)
{
    static const char *const texts[][2] = {
        {"{\"usage\":null,\"choices\":[1]}", "{\"choices\":[1]}"},
        {"{\"choices\":[1],\"usage\":null}", "{\"choices\":[1]}"},
        {"{\"choices\":[1] , \"usage\" : null }", "{\"choices\":[1] }"},
        {"{\"a\":0, \"usage\" : {\"prompt_tokens\":1} ,\"choices\":[1]}",
         "{\"a\":0, \"choices\":[1]}"},
        {"{\"usage\":null}", "{}"},
        {"{ \"usage\":{} }", NULL},
        {"{\"u\\u0073age\":7,\"choices\":[1]}", "{\"choices\":[1]}"},
        {"{\"x\":{\"usage\":1},\"choices\":[1]}", "{\"x\":{\"usage\":1},\"choices\":[1]}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_STRING in = xasprintf("id: 3\ndata: %s\nretry: 5\n\n", texts[i][0]);
        AUTO_STRING want =
            texts[i][1] ? xasprintf("id: 3\ndata: %s\nretry: 5\n\n", texts[i][1]) : xstrdup("");
        struct outcome o;

        run(span_of(in), 1, (struct settings){false, 1, WHOLE}, &o);
        ck_assert_msg(span_equal(buf_span(&o.bytes), span_of(want)), "%s became %.*s", in,
                      SPAN_FMT(buf_span(&o.bytes)));
        buf_clear(&o.bytes);
    }
}
END_TEST

START_TEST(what_came_is_believed_over_usage_stated_before_the_end)
{
    static const char first[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],"
        "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"c\"}}]}\n\n";
    AUTO_STRING ended = xasprintf("%sdata: [DONE]\n\n", first);
    struct outcome o;

    run_text(first, 1, &o);
    ck_assert_int_eq(o.usage.bucket[USAGE_INPUT].n, 9);
    ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].n, 3);
    ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].source, USAGE_COUNTED);
    run_text(ended, 1, &o);
    ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].n, 1);
    ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].source, USAGE_UPSTREAM);
}
END_TEST

START_TEST(every_kind_of_text_counts_as_one_chunk)
{
    static const struct {
        const char *delta;
        int64_t content;
    } deltas[] = {
        {"{\"content\":\"a\"}", 1},
        {"{\"content\":\"\"}", 0},
        {"{\"content\":null,\"role\":\"assistant\"}", 0},
        {"{\"reasoning_content\":\"a\",\"content\":\"b\"}", 1},
        {"{\"reasoning\":\"a\"}", 1},
        {"{\"refusal\":\"a\"}", 1},
        {"{\"tool_calls\":[{\"function\":{\"arguments\":\"\"}},"
         "{\"function\":{\"arguments\":\"x\"}}]}",
         1},
        {"{\"tool_calls\":[{\"function\":{\"name\":\"x\"}}]}", 1},
        {"{\"tool_calls\":[{\"custom\":{\"input\":\"x\"}}]}", 1},
        {"{\"role\":\"assistant\",\"function_call\":{\"arguments\":\"x\"}}", 1},
        {"{\"audio\":{\"data\":\"AAAA\"}}", 1},
        {"{\"content\":\"\",\"reasoning_details\":[{\"text\":\"x\"}]}", 1},
        {"{\"images\":[{\"image_url\":{\"url\":\"data:\"}}]}", 1},
        {"{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[ ],\"audio\":{},\"index\":1}",
         0},
        {"{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}", 1},
        {"{\"content\":[]}", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
        AUTO_STRING text =
            xasprintf("data: {\"choices\":[{\"index\":0,\"delta\":%s}]}\n\n", deltas[i].delta);
        struct outcome o;

        run_text(text, 1, &o);
        ck_assert_msg(o.content == deltas[i].content, "%s", text);
    }
}
END_TEST

static void stop_at_first(void *arg, const struct backend_event *event)
{
    (void)event;
    openai_stream_stop(*(struct openai_stream **)arg);
}

START_TEST(nothing_comes_after_a_stop)
{
    struct openai_stream *s = NULL;
    const struct openai_stream_plan plan = {true, 1, WHOLE, stop_at_first, &s};
    const char *text = ": a\n\n: b\n\ndata: garbage\n\ndata: [DONE]\n\n";
    struct err err;

    s = openai_stream_new(&plan);
    ck_assert(openai_stream_feed(s, text, strlen(text), &err));
    ck_assert(!openai_stream_is_done(s));
    openai_stream_free(s);
}
END_TEST

/* A line of 8 MB goes through a stream that keeps 1 KB. */
START_TEST(a_huge_line_needs_no_memory)
{
    struct outcome o = {.taken = true};
    const struct openai_stream_plan plan = {false, 1, 1024, on_event, &o};
    AUTO(openai_stream) s = openai_stream_new(&plan);
    const char *start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    const char *end = "\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    char filler[4096];
    struct err err;

    memset(filler, 'x', sizeof filler);
    buf_init(&o.bytes, SIZE_MAX);
    ck_assert(openai_stream_feed(s, start, strlen(start), &err));
    for (size_t i = 0; i < 2048; i++) {
        ck_assert(openai_stream_feed(s, filler, sizeof filler, &err));
        ck_assert_uint_ge(o.bytes.len + 1024, i * sizeof filler);
        buf_consume(&o.bytes, 0);
    }
    ck_assert_int_eq(o.content, 0);
    ck_assert(openai_stream_feed(s, end, strlen(end), &err));
    ck_assert(openai_stream_is_done(s));
    ck_assert_int_eq(o.content, 1);
    ck_assert_uint_eq(o.bytes.len, strlen(start) + 2048 * sizeof filler + strlen(end));
    buf_clear(&o.bytes);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("openai_stream");
    int n = ARRAY_LEN(recordings);

    tcase_add_loop_test(cases, a_recorded_answer_gives_what_it_states, 0, n);
    tcase_add_loop_test(cases, an_answer_is_the_same_wherever_it_is_cut, 0, n);
    tcase_add_loop_test(cases, for_a_client_that_asked_for_usage_all_bytes_pass, 0, n);
    tcase_add_loop_test(cases, for_a_client_that_did_not_ask_only_usage_is_taken_out, 0, n);
    tcase_add_loop_test(cases, a_long_event_passes_whole_but_not_before_it_is_known_what_it_says, 0,
                        n);
    tcase_add_test(cases, a_stream_that_ends_unfinished_is_never_complete);
    tcase_add_test(cases, a_last_event_without_its_blank_line_counts);
    tcase_add_test(cases, garbage_breaks_the_stream_before_it_is_passed_on);
    tcase_add_test(cases, the_error_of_a_provider_is_passed_on_and_its_words_are_not_kept);
    tcase_add_test(cases, usage_is_spliced_out_wherever_it_stands);
    tcase_add_test(cases, what_came_is_believed_over_usage_stated_before_the_end);
    tcase_add_test(cases, every_kind_of_text_counts_as_one_chunk);
    tcase_add_test(cases, nothing_comes_after_a_stop);
    tcase_add_test(cases, a_huge_line_needs_no_memory);
    return run_tests(cases, "openai_stream");
}
