/* test_anthropic_stream.c - recorded messages, cut at every byte, must always come out the same. */
#include <check.h>
#include <stdlib.h>

#include "backends/anthropic_stream.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define RECORDING_MAX 65536

struct outcome {
    struct buf bytes;
    int64_t content;
    size_t closing_at;
    bool closed, taken, complete;
    struct usage usage;
    struct err err;
};

static void outcome_clear(struct outcome *o)
{
    buf_clear(&o->bytes);
}
DEFINE_AUTO_CLEAR(outcome)

static void on_event(void *arg, const struct backend_event *event)
{
    struct outcome *o = arg;

    ck_assert(event->closing || !o->closed);
    if (event->closing && !o->closed)
        o->closing_at = o->bytes.len;
    o->closed = event->closing;
    o->content += event->content;
    buf_add_span(&o->bytes, event->bytes);
}

/* Feeds `in` in two pieces cut at `cut`, or, with cut 0, byte by byte. */
static void run(struct span in, size_t cut, size_t event_bytes_max, struct outcome *o)
{
    const struct anthropic_stream_plan plan = {event_bytes_max, on_event, o};
    AUTO(anthropic_stream) s = anthropic_stream_new(&plan);

    *o = (struct outcome){.taken = true};
    buf_init(&o->bytes, SIZE_MAX);
    for (size_t at = 0, n; at < in.len && o->taken; at += n) {
        char *piece;

        n = cut == 0 ? 1 : at == 0 && cut < in.len ? cut : in.len - at;
        piece = xstrndup(in.data + at, n);
        o->taken = anthropic_stream_feed(s, piece, n, &o->err);
        free(piece);
    }
    o->complete = o->taken && anthropic_stream_end(s, &o->err);
    anthropic_stream_usage(s, &o->usage);
}

static void read_recording(const char *name, struct buf *out)
{
    const char *top = getenv("TOP_SRCDIR");
    AUTO_STRING path = xasprintf("%s/tests/data/streams/anthropic/%s.sse", top ? top : ".", name);
    struct err err;

    buf_init(out, RECORDING_MAX);
    ck_assert_msg(file_read(path, out, &err), "%s", err.text);
}

static const struct expected {
    const char *name;
    int64_t content, input, cached, written, output;
} recordings[] = {{"text", 2, 25, 40, 10, 15}, {"tools", 4, 472, 0, 0, 89}};

START_TEST(a_message_is_the_same_wherever_it_is_cut)
{
    const struct expected *e = &recordings[_i];
    AUTO_CLEAR(buf) in = {.max = 0};

    read_recording(e->name, &in);
    for (size_t cut = 0; cut <= in.len; cut++) {
        AUTO_CLEAR(outcome) o = {.taken = false};

        run(buf_span(&in), cut, 65536, &o);
        ck_assert_msg(o.complete, "%s cut at %zu: %s", e->name, cut, o.err.text);
        ck_assert(span_equal(buf_span(&o.bytes), buf_span(&in)));
        ck_assert(span_starts((struct span){o.bytes.data + o.closing_at, 20},
                              SPAN("event: message_delta")));
        ck_assert_int_eq(o.content, e->content);
        ck_assert_int_eq(o.usage.bucket[USAGE_INPUT].n, e->input);
        ck_assert_int_eq(o.usage.bucket[USAGE_CACHED_INPUT].n, e->cached);
        ck_assert_int_eq(o.usage.bucket[USAGE_CACHE_WRITE].n, e->written);
        ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].n, e->output);
        ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].source, USAGE_UPSTREAM);
    }
}
END_TEST

START_TEST(a_message_that_ends_early_is_never_complete)
{
    const struct expected *e = &recordings[_i];
    AUTO_CLEAR(buf) in = {.max = 0};
    size_t end;

    read_recording(e->name, &in);
    end = in.len - 2; /* before the blank line, which may be missing */
    for (size_t cut = 1; cut < end; cut++) {
        AUTO_CLEAR(outcome) o = {.taken = false};

        run((struct span){in.data, cut}, cut, 65536, &o);
        ck_assert_msg(!o.complete, "%s cut off at %zu", e->name, cut);
        ck_assert(o.err.code != ERR_NONE);
        if (!o.closed)
            ck_assert_int_eq(o.usage.bucket[USAGE_OUTPUT].source, USAGE_COUNTED);
    }
}
END_TEST

START_TEST(long_content_passes_and_a_long_end_does_not)
{
    static const char delta[] =
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"text_delta\",\"text\":\"quite a long piece of text, longer than an "
        "event\"}}\n\n"
        "event: ping\ndata: {}\n\n";
    static const char stop[] = "event: message_stop\ndata: {\"type\":\"message_stop\",\"and\":"
                               "\"a lot that nobody needs to know at the end of an answer\"}\n\n";
    AUTO_CLEAR(outcome) o = {.taken = false};
    AUTO_CLEAR(outcome) ended = {.taken = false};

    run(span_of(delta), sizeof delta, 32, &o);
    ck_assert(o.taken && o.content == 1);
    ck_assert(span_equal(buf_span(&o.bytes), span_of(delta)));
    run(span_of(stop), sizeof stop, 32, &ended);
    ck_assert(!ended.taken);
    ck_assert_ptr_nonnull(strstr(ended.err.text, "too long"));
}
END_TEST

START_TEST(garbage_and_errors_break_it_and_their_words_are_not_kept)
{
    static const char *const texts[] = {"data: {oops\n\n",
                                        "event: error\ndata: {\"type\":\"error\",\"error\":"
                                        "{\"message\":\"secret\"}}\n\n"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_CLEAR(outcome) o = {.taken = false};

        run(span_of(texts[i]), 3, 65536, &o);
        ck_assert(!o.taken && o.bytes.len == 0);
        ck_assert_ptr_null(strstr(o.err.text, "secret"));
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("streams");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_message_is_the_same_wherever_it_is_cut, 0, (int)ARRAY_LEN(recordings));
    tcase_add_loop_test(t, a_message_that_ends_early_is_never_complete, 0,
                        (int)ARRAY_LEN(recordings));
    tcase_add_test(t, long_content_passes_and_a_long_end_does_not);
    tcase_add_test(t, garbage_and_errors_break_it_and_their_words_are_not_kept);
    return run_tests(t, "anthropic_stream");
}
