/* anthropic_stream.c - decides event by event, from a scan of its data and never a tree. */
#include "backends/anthropic_stream.h"

#include "backends/anthropic_usage.h"
#include "lib/base/mem.h"
#include "lib/net/sse.h"

enum path {
    TYPE,
    START_USAGE,
    DELTA_USAGE = START_USAGE + ANTHROPIC_USAGE_PATH_COUNT,
    STOP_REASON = DELTA_USAGE + ANTHROPIC_USAGE_PATH_COUNT,
    FIRST_TEXT,
    LAST_TEXT = FIRST_TEXT + 5,
    FIRST_LIST,
    LAST_LIST = FIRST_LIST + 2,
};

static const char *const paths[] = {
    [TYPE] = "type",
    ANTHROPIC_USAGE_PATHS("message.usage"),
    ANTHROPIC_USAGE_PATHS("usage"),
    [STOP_REASON] = "delta.stop_reason",
    [FIRST_TEXT] = "delta.text",
    "delta.thinking",
    "delta.partial_json",
    "content_block.text",
    "content_block.thinking",
    "content_block.data",
    [FIRST_LIST] = "content_block.input",
    "content_block.content",
    "delta.citation",
};

struct anthropic_stream {
    struct anthropic_stream_plan plan;
    struct sse *sse;
    struct jscan *scanner;
    bool in_long; /* the scanner is in the middle of an event that comes in parts */
    bool closing, done, stopped, broken;
    struct err err; /* why it is broken */
    int64_t content;
    int64_t content_due; /* of it, what is still to be given out with an event */
    struct usage stated;
    bool output_is_final;
};

static void on_sse_event(void *arg, const struct sse_event *event);
static void on_sse_part(void *arg, struct span raw, struct span data, bool last);
static bool says(const struct anthropic_stream *s, const char *type);
static void take_event(struct anthropic_stream *s, struct span raw);
static int64_t content_pieces(const struct anthropic_stream *s);
static void emit(struct anthropic_stream *s, struct span bytes, int64_t content);
static void break_off(struct anthropic_stream *s, const char *why);

struct anthropic_stream *anthropic_stream_new(const struct anthropic_stream_plan *plan)
{
    static const struct sse_handlers handlers = {on_sse_event, on_sse_part};
    struct anthropic_stream *s = xcalloc(1, sizeof *s);

    s->plan = *plan;
    s->sse = sse_new(plan->event_bytes_max, &handlers, s);
    s->scanner = jscan_new(paths, ARRAY_LEN(paths));
    return s;
}

void anthropic_stream_free(struct anthropic_stream *s)
{
    if (!s)
        return;
    sse_free(s->sse);
    jscan_free(s->scanner);
    free(s);
}

bool anthropic_stream_feed(struct anthropic_stream *s, const char *bytes, size_t n, struct err *err)
{
    if (!s->stopped)
        sse_feed(s->sse, bytes, n);
    if (s->broken && err)
        *err = s->err;
    return !s->broken;
}

bool anthropic_stream_is_done(const struct anthropic_stream *s)
{
    return s->done;
}

/* Should the blank line after the last event be missing, it is given one. */
bool anthropic_stream_end(struct anthropic_stream *s, struct err *err)
{
    if (!s->stopped && !s->in_long && !anthropic_stream_feed(s, "\n\n", 2, err))
        return false;
    return s->done || s->stopped ||
           err_set(err, ERR_CLOSED, "the backend's stream ended in the middle of the answer");
}

void anthropic_stream_stop(struct anthropic_stream *s)
{
    s->stopped = true;
}

/* message_start states a first token or two of output: what came is believed over that. */
void anthropic_stream_usage(const struct anthropic_stream *s, struct usage *out)
{
    for (size_t i = 0; i < USAGE_BUCKETS; i++)
        if (s->stated.bucket[i].source != USAGE_MISSING)
            out->bucket[i] = s->stated.bucket[i];
    out->disbelieved = s->stated.disbelieved;
    if (!s->output_is_final)
        usage_set(out, USAGE_OUTPUT, s->content, USAGE_COUNTED);
}

static void on_sse_event(void *arg, const struct sse_event *event)
{
    struct anthropic_stream *s = arg;

    if (s->stopped)
        return;
    if (event->data.len == 0) {
        if (event->raw.data[strspn(event->raw.data, "\r\n")] == ':')
            emit(s, event->raw, 0);
        return;
    }
    jscan_reset(s->scanner);
    if (jscan_feed(s->scanner, event->data.data, event->data.len, NULL) == JSCAN_BAD ||
        !jscan_end(s->scanner, NULL))
        break_off(s, "has an event that is no JSON");
    else
        take_event(s, event->raw);
}

static void take_event(struct anthropic_stream *s, struct span raw)
{
    int64_t n;

    if (says(s, "error")) {
        break_off(s, "reports an error");
        return;
    }
    if (says(s, "message_start"))
        anthropic_usage_read(s->scanner, START_USAGE, &s->stated);
    if (says(s, "message_delta")) {
        anthropic_usage_read(s->scanner, DELTA_USAGE, &s->stated);
        s->output_is_final =
            s->output_is_final ||
            (jscan_int(jscan_get(s->scanner, DELTA_USAGE + 3), &n) && usage_is_possible(n));
        s->closing = true;
    }
    s->done = says(s, "message_stop");
    s->closing = s->closing || s->done;
    emit(s, raw, content_pieces(s));
    s->stopped = s->stopped || s->done;
}

static bool says(const struct anthropic_stream *s, const char *type)
{
    const struct jscan_hit *hit = jscan_get(s->scanner, TYPE);

    return hit->type == JSCAN_STRING && strcmp(hit->text, type) == 0;
}

static int64_t content_pieces(const struct anthropic_stream *s)
{
    for (size_t i = FIRST_TEXT; i <= LAST_TEXT; i++)
        if (jscan_get(s->scanner, i)->nonempty > 0)
            return 1;
    for (size_t i = FIRST_LIST; i <= LAST_LIST; i++)
        if (jscan_get(s->scanner, i)->count > 0)
            return 1;
    return 0;
}

/* What is passed on before its end was seen must not turn out to be the end of the answer. Its content is counted with the next event. */
static void on_sse_part(void *arg, struct span raw, struct span data, bool last)
{
    struct anthropic_stream *s = arg;

    if (s->stopped)
        return;
    if (!s->in_long)
        jscan_reset(s->scanner);
    s->in_long = !last;
    if (jscan_feed(s->scanner, data.data, data.len, NULL) == JSCAN_BAD ||
        (last && !jscan_end(s->scanner, NULL)))
        break_off(s, "has an event that is no JSON");
    else if (says(s, "message_delta") || says(s, "message_stop") || says(s, "error"))
        break_off(s, "has an event that is too long");
    else if (last)
        s->content_due += content_pieces(s);
    else if (raw.len > 0)
        emit(s, raw, 0);
}

static void emit(struct anthropic_stream *s, struct span bytes, int64_t content)
{
    struct backend_event event = {
        .bytes = bytes, .content = content + s->content_due, .closing = s->closing};

    s->content_due = 0;
    s->content += event.content;
    s->plan.on_event(s->plan.arg, &event);
}

static void break_off(struct anthropic_stream *s, const char *why)
{
    err_set(&s->err, s->in_long ? ERR_PROTOCOL : ERR_UNAVAILABLE, "the backend's stream %s", why);
    s->broken = s->stopped = true;
}
