/* sse.c - lines into events. An event is gathered in one buffer, so that its spans are whole however it arrived; one that
 * outgrows the buffer is streamed through instead (on_part), holding back no more than a field's name.
 *
 * A line that ends in CR is known to be over only with the next byte, since an LF would still belong to it. */
#include "lib/net/sse.h"

#include <assert.h>

#include "lib/base/mem.h"

#define EVENT_BYTES_MIN 16    /* so that a byte order mark and a field's name always fit */
#define KEPT_BYTES_MAX  16384 /* a larger buffer is given back after its event */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum kind { UNDECIDED, DATA, OTHER };

struct sse {
    struct sse_handlers handlers;
    void *arg;
    size_t event_bytes_max;
    bool is_first;     /* event of the stream: a byte order mark may precede it */
    bool after_cr;     /* the line is over, but for an LF that may follow */
    size_t line_bytes; /* of the present line, without its end */

    /* An event that is being gathered. */
    struct buf raw;
    size_t line_start;             /* of the present line in raw */
    size_t name_start, name_bytes; /* in raw */
    size_t data_start, data_bytes; /* in raw, while there is one data line */
    unsigned data_lines;           /* 0, 1, or 2 for more */
    struct buf joined;             /* of several data lines */

    /* An event that is being streamed. */
    bool is_streamed;
    enum kind kind; /* of the present line */
    char prefix[6]; /* of a line that is not decided: at most "data:" and one byte more */
    size_t prefix_bytes;
};

static size_t plain_bytes(const char *bytes, size_t n);
static void take(struct sse *s, const char *bytes, size_t n);
static bool gather(struct sse *s, const char *bytes, size_t n);
static void take_line_end(struct sse *s, char c);
static void end_line(struct sse *s);
static size_t mark_bytes(const struct sse *s);
static bool gather_line(struct sse *s);
static bool gather_data(struct sse *s, struct span value);
static bool append_data(struct sse *s, struct span value);
static struct span gathered_data(const struct sse *s);
static void emit_event(struct sse *s);
static void begin_event(struct sse *s);
static void begin_streaming(struct sse *s);
static void stream_line(struct sse *s, const char *bytes, size_t n);
static void decide(struct sse *s, enum kind kind, size_t value_start);
static enum kind kind_of_line(const char *prefix, size_t n);
static void part(struct sse *s, struct span raw, struct span data);

struct sse *sse_new(size_t event_bytes_max, const struct sse_handlers *handlers, void *arg)
{
    struct sse *s = xcalloc(1, sizeof *s);

    s->handlers = *handlers;
    s->arg = arg;
    s->event_bytes_max = event_bytes_max > EVENT_BYTES_MIN ? event_bytes_max : EVENT_BYTES_MIN;
    s->is_first = true;
    buf_init(&s->raw, s->event_bytes_max);
    buf_init(&s->joined, s->event_bytes_max);
    return s;
}

void sse_free(struct sse *s)
{
    if (!s)
        return;
    buf_clear(&s->raw);
    buf_clear(&s->joined);
    free(s);
}

void sse_feed(struct sse *s, const char *bytes, size_t n)
{
    while (n) {
        size_t taken;

        if (s->after_cr && *bytes != '\n') {
            s->after_cr = false;
            end_line(s);
            continue;
        }
        taken = plain_bytes(bytes, n);
        if (taken) {
            take(s, bytes, taken);
        } else {
            taken = 1;
            take_line_end(s, *bytes);
        }
        bytes += taken;
        n -= taken;
    }
}

static size_t plain_bytes(const char *bytes, size_t n)
{
    size_t i = 0;

    while (i < n && bytes[i] != '\n' && bytes[i] != '\r')
        i++;
    return i;
}

/* Content of the present line. */
static void take(struct sse *s, const char *bytes, size_t n)
{
    size_t room = s->event_bytes_max - s->raw.len;
    size_t kept = n < room ? n : room;

    if (!s->is_streamed && gather(s, bytes, kept)) {
        bytes += kept;
        n -= kept;
        if (n)
            begin_streaming(s);
    }
    if (n)
        stream_line(s, bytes, n);
}

/* False when there is no memory for it: from here on the event is streamed. */
static bool gather(struct sse *s, const char *bytes, size_t n)
{
    if (buf_add(&s->raw, bytes, n)) {
        s->line_bytes += n;
        return true;
    }
    begin_streaming(s);
    return false;
}

static void take_line_end(struct sse *s, char c)
{
    if (!s->is_streamed && !buf_add_char(&s->raw, c))
        begin_streaming(s);
    if (s->is_streamed) {
        decide(s, kind_of_line(s->prefix, s->prefix_bytes), s->prefix_bytes);
        part(s, (struct span){&c, 1}, SPAN(""));
    }
    s->after_cr = c == '\r';
    if (!s->after_cr)
        end_line(s);
}

static void end_line(struct sse *s)
{
    bool is_blank = s->line_bytes == mark_bytes(s);

    if (!s->is_streamed && !is_blank && !gather_line(s))
        begin_streaming(s);
    if (is_blank) {
        emit_event(s);
        begin_event(s);
    }
    s->line_start = s->raw.len;
    s->line_bytes = 0;
    s->kind = UNDECIDED;
    s->prefix_bytes = 0;
}

/* A byte order mark before the first line is no part of it. */
static size_t mark_bytes(const struct sse *s)
{
    struct span mark = SPAN(BYTE_ORDER_MARK);

    return s->is_first && s->line_start == 0 && span_starts(buf_span(&s->raw), mark) ? mark.len : 0;
}

static bool gather_line(struct sse *s)
{
    const char *start = s->raw.data + s->line_start + mark_bytes(s);
    const char *end = s->raw.data + s->line_start + s->line_bytes;
    const char *colon = memchr(start, ':', (size_t)(end - start));
    struct span name = {start, (size_t)((colon ? colon : end) - start)};
    struct span value = {colon ? colon + 1 : end, colon ? (size_t)(end - colon - 1) : 0};

    if (value.len && value.data[0] == ' ')
        value.data++, value.len--;
    if (span_equal(name, SPAN("data")))
        return gather_data(s, value);
    if (span_equal(name, SPAN("event"))) {
        s->name_start = (size_t)(value.data - s->raw.data);
        s->name_bytes = value.len;
    }
    return true;
}

/* One data line is left where it stands; more are joined. */
static bool gather_data(struct sse *s, struct span value)
{
    if (s->data_lines == 0) {
        s->data_start = (size_t)(value.data - s->raw.data);
        s->data_bytes = value.len;
        s->data_lines = 1;
        return true;
    }
    if (s->data_lines == 1 && !buf_add_span(&s->joined, gathered_data(s)))
        return false;
    s->data_lines = 2;
    return append_data(s, value);
}

static bool append_data(struct sse *s, struct span value)
{
    if (!buf_room(&s->joined, value.len + 1))
        return false;
    return buf_add_char(&s->joined, '\n') && buf_add_span(&s->joined, value);
}

static struct span gathered_data(const struct sse *s)
{
    if (s->data_lines > 1)
        return buf_span(&s->joined);
    return (struct span){buf_span(&s->raw).data + s->data_start, s->data_bytes};
}

static void emit_event(struct sse *s)
{
    struct sse_event event;

    if (s->is_streamed) {
        s->handlers.on_part(s->arg, SPAN(""), SPAN(""), true);
        return;
    }
    event = (struct sse_event){
        .raw = buf_span(&s->raw),
        .name = {s->raw.data + s->name_start, s->name_bytes},
        .data = gathered_data(s),
        .has_data = s->data_lines > 0,
    };
    s->handlers.on_event(s->arg, &event);
}

static void begin_event(struct sse *s)
{
    if (s->raw.cap > KEPT_BYTES_MAX)
        buf_clear(&s->raw);
    if (s->joined.cap > KEPT_BYTES_MAX)
        buf_clear(&s->joined);
    buf_truncate(&s->raw, 0);
    buf_truncate(&s->joined, 0);
    s->name_start = s->name_bytes = s->data_start = s->data_bytes = 0;
    s->data_lines = 0;
    s->is_first = s->is_streamed = false;
}

/* Hands over the whole lines gathered so far, then begins the present line anew as a streamed one. */
static void begin_streaming(struct sse *s)
{
    size_t whole = s->line_start + mark_bytes(s);
    size_t content = s->line_start + s->line_bytes;

    s->is_streamed = true;
    s->line_bytes = 0;
    part(s, (struct span){s->raw.data, whole}, gathered_data(s));
    if (content > whole)
        stream_line(s, s->raw.data + whole, content - whole);
    if (s->raw.len > content) {
        decide(s, kind_of_line(s->prefix, s->prefix_bytes), s->prefix_bytes);
        part(s, (struct span){s->raw.data + content, s->raw.len - content}, SPAN(""));
    }
    s->is_first = false;
    s->line_start = 0;
    buf_clear(&s->raw);
    buf_clear(&s->joined);
}

static void stream_line(struct sse *s, const char *bytes, size_t n)
{
    static const char name[] = "data:";

    s->line_bytes += n;
    while (n && s->kind == UNDECIDED) {
        size_t i = s->prefix_bytes++;

        s->prefix[i] = *bytes++;
        n--;
        if (i == sizeof name - 1)
            decide(s, DATA, s->prefix[i] == ' ' ? i + 1 : i);
        else if (s->prefix[i] != name[i])
            decide(s, OTHER, i + 1);
    }
    if (n)
        part(s, (struct span){bytes, n}, s->kind == DATA ? (struct span){bytes, n} : SPAN(""));
}

/* What a line is that ended before it was decided. */
static enum kind kind_of_line(const char *prefix, size_t n)
{
    return n >= 4 && memcmp(prefix, "data", 4) == 0 ? DATA : OTHER;
}

/* Says of an undecided line what it is, and hands its prefix over, whose value begins at `value_start`. */
static void decide(struct sse *s, enum kind kind, size_t value_start)
{
    if (s->kind != UNDECIDED)
        return;
    s->kind = kind;
    if (kind == DATA) {
        if (s->data_lines)
            part(s, SPAN(""), SPAN("\n"));
        s->data_lines = 1;
    }
    part(s, (struct span){s->prefix, s->prefix_bytes},
         (struct span){s->prefix + value_start, kind == DATA ? s->prefix_bytes - value_start : 0});
}

static void part(struct sse *s, struct span raw, struct span data)
{
    if (raw.len || data.len)
        s->handlers.on_part(s->arg, raw, data, false);
}

bool sse_end(struct sse *s)
{
    if (s->after_cr) {
        s->after_cr = false;
        end_line(s);
    }
    return s->raw.len == 0 && !s->is_streamed;
}
