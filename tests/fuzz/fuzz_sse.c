/* fuzz_sse.c - event streams: the first byte says how the rest is cut, the second how long an event may be. Events must not depend
 * on the cut, their raw bytes join to the stream, and data never depends on whether an event came in parts. */
#include <stdlib.h>
#include <string.h>

#include "lib/net/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

struct seen {
    struct buf raw, data;
    struct buf shape; /* 'e' an event, 'p' one in parts; names too */
    size_t event_bytes_max, part_bytes;
    size_t data_of_whole_events; /* bytes of `data` when the last whole event ended */
    bool in_parts, is_whole;
};

static void on_event(void *arg, const struct sse_event *event)
{
    struct seen *seen = arg;
    struct span end = {event->raw.data + event->raw.len - 1, 1};

    MUST(!seen->in_parts && event->raw.len <= seen->event_bytes_max);
    MUST(event->raw.len > 0 && (*end.data == '\n' || *end.data == '\r'));
    MUST(event->has_data || event->data.len == 0);
    buf_add_span(&seen->raw, event->raw);
    buf_add_span(&seen->data, event->data);
    buf_add_char(&seen->data, '\0');
    buf_add_char(&seen->shape, 'e');
    buf_add_span(&seen->shape, event->name);
    seen->data_of_whole_events = seen->data.len;
}

static void on_part(void *arg, struct span raw, struct span data, bool last)
{
    struct seen *seen = arg;

    MUST(!last || (raw.len == 0 && data.len == 0));
    buf_add_span(&seen->raw, raw);
    buf_add_span(&seen->data, data);
    seen->part_bytes += raw.len;
    seen->in_parts = !last;
    if (!last)
        return;
    MUST(seen->part_bytes > seen->event_bytes_max);
    seen->part_bytes = 0;
    buf_add_char(&seen->data, '\0');
    buf_add_char(&seen->shape, 'p');
    seen->data_of_whole_events = seen->data.len;
}

static void split(struct span text, size_t max, size_t piece, struct seen *seen)
{
    static const struct sse_handlers handlers = {on_event, on_part};
    AUTO(sse) s = sse_new(max, &handlers, seen);

    memset(seen, 0, sizeof *seen);
    seen->event_bytes_max = max;
    buf_init(&seen->raw, SIZE_MAX);
    buf_init(&seen->data, SIZE_MAX);
    buf_init(&seen->shape, SIZE_MAX);
    for (size_t at = 0; at < text.len; at += piece)
        sse_feed(s, text.data + at, text.len - at < piece ? text.len - at : piece);
    seen->is_whole = sse_end(s);
    MUST(span_starts(text, buf_span(&seen->raw)));
    MUST(!seen->is_whole || seen->raw.len == text.len);
}

static void forget(struct seen *seen)
{
    buf_clear(&seen->raw);
    buf_clear(&seen->data);
    buf_clear(&seen->shape);
}

static bool whole_data_agree(const struct seen *a, const struct seen *b)
{
    return span_equal((struct span){buf_span(&a->data).data, a->data_of_whole_events},
                      (struct span){buf_span(&b->data).data, b->data_of_whole_events});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut, roomy;
    size_t max;
    struct span text;

    if (size < 3)
        return 0;
    text = (struct span){(const char *)data + 2, size - 2};
    max = 16 + data[1];
    split(text, max, text.len, &whole);
    split(text, max, 1u + data[0] % 32, &cut);
    split(text, 16 + text.len, text.len, &roomy);
    MUST(span_equal(buf_span(&whole.raw), buf_span(&cut.raw)) || !whole.is_whole);
    MUST(span_equal(buf_span(&whole.shape), buf_span(&cut.shape)));
    MUST(whole.is_whole == cut.is_whole && whole.is_whole == roomy.is_whole);
    MUST(whole_data_agree(&whole, &cut) && whole_data_agree(&whole, &roomy));
    forget(&whole);
    forget(&cut);
    forget(&roomy);
    return 0;
}
