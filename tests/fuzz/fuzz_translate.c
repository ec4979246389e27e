/* fuzz_translate.c - any bytes as a request, a plain answer and a stream, in both directions: what is written of them is valid
 * JSON, in valid events, or nothing. */
#include <stdlib.h>

#include "backends/neutral.h"
#include "lib/base/jscan.h"
#include "lib/net/sse.h"

#define MUST(claim) ((claim) ? (void)0 : abort())

struct direction {
    const struct neutral_form *from, *to;
};

/* A stream on its way, or what was made of one. */
struct passage {
    struct direction direction;
    struct neutral_reader reader;
    struct neutral_writer writer;
    struct buf out;
    bool is_broken;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static bool is_json(struct span text);
static void request(struct direction d, struct span text);
static void answer(struct direction d, struct span text, bool stream, size_t piece);
static bool on_delta(void *arg, const struct neutral_delta *delta, struct err *err);
static void on_event(void *arg, const struct sse_event *event);
static void on_part(void *arg, struct span raw, struct span data, bool last);
static void on_written(void *arg, const struct sse_event *event);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct direction d = {&openai_form, &anthropic_form};
    struct span text;

    if (size < 2)
        return 0;
    if (data[0] & 1)
        d = (struct direction){&anthropic_form, &openai_form};
    text = (struct span){(const char *)data + 2, size - 2};
    if (is_json(text)) {
        request(d, text);
        answer(d, text, false, 0);
    }
    answer(d, text, true, 1u + data[1]);
    return 0;
}

static bool is_json(struct span text)
{
    static const char *const paths[] = {"-"};
    AUTO(jscan) scanner = jscan_new(paths, 1);

    return jscan_feed(scanner, text.data, text.len, NULL) != JSCAN_BAD && jscan_end(scanner, NULL);
}

static void request(struct direction d, struct span text)
{
    const struct neutral_frame frame = {.model = "a \"model\"", .output_cap = 77, .stream = true};
    AUTO_CLEAR(neutral_request) neutral = {.message_count = 0};
    AUTO_CLEAR(buf) out = {.max = text.len * 6 + 65536};
    struct neutral_places places;
    struct err err = {0};

    if (!d.from->read_request(text, &neutral, &err) ||
        !d.to->write_request(&neutral, &frame, &out, &places, &err)) {
        MUST(err.code != ERR_NONE);
        return;
    }
    MUST(is_json(buf_span(&out)));
    MUST(span_equal(places.model_value, SPAN("\"a \\\"model\\\"\"")));
    MUST(span_equal(places.cap_value, SPAN("77")));
}

static void answer(struct direction d, struct span text, bool stream, size_t piece)
{
    static const struct sse_handlers reading = {on_event, on_part},
                                     checking = {on_written, on_part};
    struct passage p = {.direction = d, .out = {.max = text.len * 64 + 65536}};
    AUTO(sse) in = sse_new(65536, &reading, &p);
    AUTO(sse) written = sse_new(SIZE_MAX, &checking, &p);
    const struct usage usage = {0};

    p.reader = (struct neutral_reader){.on_delta = on_delta, .arg = &p};
    neutral_writer_init(&p.writer, d.to->id_prefix, &p.out);
    p.writer.stream = stream;
    for (size_t at = 0; stream && at < text.len; at += piece)
        sse_feed(in, text.data + at, text.len - at < piece ? text.len - at : piece);
    if (!stream)
        p.is_broken = !d.from->read_reply(&p.reader, text, NULL);
    if (!p.is_broken) {
        d.to->write_end(&p.writer, &usage);
        MUST(!p.out.failed);
        if (stream)
            sse_feed(written, p.out.data, p.out.len);
        MUST(stream ? sse_end(written) : is_json(buf_span(&p.out)));
    }
    neutral_writer_clear(&p.writer);
    buf_clear(&p.out);
}

static bool on_delta(void *arg, const struct neutral_delta *delta, struct err *err)
{
    struct passage *p = arg;

    return p->direction.to->write_delta(&p->writer, delta, err);
}

static void on_event(void *arg, const struct sse_event *event)
{
    struct passage *p = arg;

    if (!p->is_broken && !p->reader.has_ended &&
        (is_json(event->data) || span_equal(event->data, SPAN("[DONE]"))))
        p->is_broken = !p->direction.from->read_event(&p->reader, event->data, NULL);
}

static void on_part(void *arg, struct span raw, struct span data, bool last)
{
    (void)arg;
    (void)raw;
    (void)data;
    (void)last;
}

static void on_written(void *arg, const struct sse_event *event)
{
    (void)arg;
    MUST(event->has_data);
    MUST(is_json(event->data) || span_equal(event->data, SPAN("[DONE]")));
}
