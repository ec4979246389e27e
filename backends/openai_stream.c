/* openai_stream.c - decides event by event, from a scan of its data and never a tree. Providers differ in where they put
 * usage: in a chunk of its own before [DONE] (OpenAI, one per choice in llama.cpp), in the chunk that finishes, in every
 * chunk (vLLM), or as "usage":null all along (Azure). */
#include "backends/openai_stream.h"

#include <assert.h>

#include "backends/answer_text.h"
#include "backends/openai_usage.h"
#include "lib/base/jscan.h"
#include "lib/base/jview.h"
#include "lib/base/mem.h"
#include "lib/net/sse.h"

#define CHOICES_MAX 128
#define LONG_DELTA_BYTES \
    1024 /* of an event that is too long to be looked at: such a one says something */

enum path {
    USAGE_OBJECT,
    CHOICES = OPENAI_USAGE_PATH_COUNT,
    CHOICE_INDEX,
    FINISH_REASON,
    FAILURE,
    FIRST_TEXT,
    LAST_TEXT = FIRST_TEXT + 5,
    FIRST_LIST,
    LAST_LIST = FIRST_LIST + 4,
    DELTA,
};

static const char *const paths[] = {
    OPENAI_USAGE_PATHS,
    [CHOICES] = "choices",
    [CHOICE_INDEX] = "choices.*.index",
    [FINISH_REASON] = "choices.*.finish_reason",
    [FAILURE] = "error",
    [FIRST_TEXT] = "choices.*.delta.content",
    "choices.*.delta.reasoning_content",
    "choices.*.delta.reasoning",
    "choices.*.delta.refusal",
    "choices.*.delta.tool_calls.*.function.arguments",
    "choices.*.text",
    [FIRST_LIST] = "choices.*.delta.tool_calls",
    "choices.*.delta.function_call",
    "choices.*.delta.audio",
    "choices.*.delta.images",
    "choices.*.delta.reasoning_details",
    [DELTA] = "choices.*.delta",
};

struct openai_stream {
    struct openai_stream_plan plan;
    struct sse *sse;
    struct jscan *scanner;
    struct buf spliced;
    bool in_long;   /* the scanner is in the middle of an event that comes in parts */
    bool long_data; /* and that has data */
    char held[4];   /* line ends of that event, which may turn out to be its end */
    size_t held_len;
    bool closing, done, stopped, broken, flushing;
    struct err err; /* why it is broken */
    uint64_t finished[CHOICES_MAX / 64];
    int64_t
        finished_unnamed; /* in chunks of several choices, of which only the last one's index is known */
    int64_t content;
    bool has_latest, has_total;
    struct openai_counts latest; /* from a chunk with choices: cumulative, so the last counts */
    struct openai_counts total;  /* from chunks without: one, or with n > 1 one per choice */
};

static void on_sse_event(void *arg, const struct sse_event *event);
static void on_sse_part(void *arg, struct span raw, struct span data, bool last);
static void take_done(struct openai_stream *s, struct span raw);
static void take_chunk(struct openai_stream *s, const struct sse_event *event);
static bool scan_all(struct openai_stream *s, struct span data);
static bool scan(struct openai_stream *s, struct span data);
static bool is_line_end(char c);
static void pass_part(struct openai_stream *s, struct span raw);
static void end_long(struct openai_stream *s);
static void note_usage(struct openai_stream *s);
static void note_finished(struct openai_stream *s);
static bool all_finished(const struct openai_stream *s);
static bool has_output(const struct openai_stream *s);
static bool has_unknown_output(struct span data);
static bool states_usage_only(const struct openai_stream *s);
static struct span without_usage(struct openai_stream *s, const struct sse_event *event);
static void note_failure(struct openai_stream *s, struct span name);
static void emit(struct openai_stream *s, struct span bytes, int64_t content);
static void break_off(struct openai_stream *s);

struct openai_stream *openai_stream_new(const struct openai_stream_plan *plan)
{
    static const struct sse_handlers handlers = {on_sse_event, on_sse_part};
    struct openai_stream *s = xcalloc(1, sizeof *s);

    s->plan = *plan;
    if (s->plan.choices < 1)
        s->plan.choices = 1;
    s->sse = sse_new(plan->event_bytes_max, &handlers, s);
    s->scanner = jscan_new(paths, ARRAY_LEN(paths));
    buf_init(&s->spliced, SIZE_MAX); /* never longer than the event it is made from */
    return s;
}

void openai_stream_free(struct openai_stream *s)
{
    if (!s)
        return;
    sse_free(s->sse);
    jscan_free(s->scanner);
    buf_clear(&s->spliced);
    free(s);
}

bool openai_stream_feed(struct openai_stream *s, const char *bytes, size_t n, struct err *err)
{
    if (!s->stopped)
        sse_feed(s->sse, bytes, n);
    if (s->broken && err)
        *err = s->err;
    return !s->broken;
}

bool openai_stream_is_done(const struct openai_stream *s)
{
    return s->done;
}

/* Some servers leave out the blank line after the last event, so the stream is given one. */
bool openai_stream_end(struct openai_stream *s, struct err *err)
{
    s->flushing = true;
    if (!openai_stream_feed(s, "\n\n", 2, err))
        return false;
    if (s->done || s->stopped)
        return true;
    if (!all_finished(s))
        return err_set(err, ERR_CLOSED, "the backend's stream ended in the middle of the answer");
    take_done(s, SPAN("data: [DONE]\n\n"));
    return true;
}

void openai_stream_stop(struct openai_stream *s)
{
    s->stopped = true;
}

/* A provider that stated a first few tokens and was then cut off is not believed over what really came. */
bool openai_stream_usage(const struct openai_stream *s, struct usage *out)
{
    const struct openai_counts *counts = s->has_total ? &s->total : &s->latest;
    bool as_stated = true;
    struct usage stated = {0};

    if (s->has_total || s->has_latest)
        as_stated = openai_counts_to_usage(counts, &stated);
    for (size_t i = 0; i < USAGE_BUCKETS; i++)
        if (stated.bucket[i].source != USAGE_MISSING)
            out->bucket[i] = stated.bucket[i];
    out->disbelieved = stated.disbelieved;
    if (stated.bucket[USAGE_OUTPUT].source == USAGE_MISSING ||
        (!s->done && counts->count[OPENAI_COMPLETION].n < s->content))
        usage_set(out, USAGE_OUTPUT, s->content, USAGE_COUNTED);
    return as_stated;
}

/* --- events --- */

static void on_sse_event(void *arg, const struct sse_event *event)
{
    struct openai_stream *s = arg;

    if (s->stopped)
        return;
    if (event->has_data && span_equal(event->data, SPAN("[DONE]"))) {
        take_done(s, event->raw);
    } else if (event->data.len > 0) {
        take_chunk(s, event);
    } else if (!s->flushing) {
        emit(s, event->raw, 0);
        note_failure(s, event->name);
    }
}

static void take_done(struct openai_stream *s, struct span raw)
{
    s->closing = s->done = true;
    emit(s, raw, 0);
    s->stopped = true;
}

static void take_chunk(struct openai_stream *s, const struct sse_event *event)
{
    struct span bytes = event->raw;

    if (span_equal(event->name, SPAN("error"))) {
        (void)scan_all(s, event->data);
    } else if (!scan_all(s, event->data)) {
        break_off(s);
        return;
    } else {
        note_usage(s);
        if (!s->plan.usage_wanted && states_usage_only(s))
            return;
        if (!s->plan.usage_wanted)
            bytes = without_usage(s, event);
    }
    emit(s, bytes, has_output(s) || has_unknown_output(event->data));
    note_failure(s, event->name);
}

static bool scan_all(struct openai_stream *s, struct span data)
{
    size_t blanks = strspn(data.data, " \t\n"); /* the event's line end is no digit of them */

    jscan_reset(s->scanner);
    if (!scan(s, data) || !jscan_end(s->scanner, &s->err))
        return false;
    return data.data[blanks] == '{' || err_set(&s->err, ERR_PROTOCOL, "it is no object");
}

static bool scan(struct openai_stream *s, struct span data)
{
    return jscan_feed(s->scanner, data.data, data.len, &s->err) != JSCAN_BAD;
}

/* What is passed on before its end was seen cannot be dropped or spliced: it stays as it is. Its line ends are held back
 * until more follows, so that the client does not have the event before it is known what it says. */
static void on_sse_part(void *arg, struct span raw, struct span data, bool last)
{
    struct openai_stream *s = arg;

    if (s->stopped)
        return;
    if (!s->in_long) {
        jscan_reset(s->scanner);
        s->long_data = false;
    }
    s->in_long = !last;
    s->long_data = s->long_data || data.len > 0;
    if (!scan(s, data) || (last && s->long_data && !jscan_end(s->scanner, &s->err)))
        break_off(s);
    else if (last)
        end_long(s);
    else if (raw.len == 1 && is_line_end(raw.data[0]) && s->held_len < sizeof s->held)
        s->held[s->held_len++] = raw.data[0];
    else if (raw.len > 0)
        pass_part(s, raw);
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static void pass_part(struct openai_stream *s, struct span raw)
{
    if (s->held_len > 0)
        emit(s, (struct span){s->held, s->held_len}, 0);
    s->held_len = 0;
    if (!s->stopped)
        emit(s, raw, 0);
}

static void end_long(struct openai_stream *s)
{
    const struct jscan_hit *delta = jscan_get(s->scanner, DELTA);
    int64_t content = 0;

    if (s->long_data) {
        note_usage(s);
        content = has_output(s) || delta->end - delta->start > LONG_DELTA_BYTES;
    }
    emit(s, (struct span){s->held, s->held_len}, content);
    s->held_len = 0;
    if (s->long_data)
        note_failure(s, SPAN(""));
}

/* --- what a chunk says --- */

/* Usage of a chunk without choices is final only when every choice has finished: llama.cpp sends
 * one per choice, while others still run. */
static void note_usage(struct openai_stream *s)
{
    struct openai_counts counts;

    note_finished(s);
    if (!openai_counts_read(s->scanner, &counts))
        return;
    if (!states_usage_only(s)) {
        s->latest = counts;
        s->has_latest = true;
    } else if (s->has_total && s->plan.choices > 1) {
        openai_counts_add(&s->total, &counts);
    } else {
        s->total = counts;
        s->has_total = true;
    }
    s->closing = s->closing || all_finished(s);
}

static bool states_usage_only(const struct openai_stream *s)
{
    const struct jscan_hit *choices = jscan_get(s->scanner, CHOICES);

    return jscan_get(s->scanner, USAGE_OBJECT)->type == JSCAN_OBJECT &&
           (choices->type != JSCAN_ARRAY || choices->count == 0);
}

static void note_finished(struct openai_stream *s)
{
    const struct jscan_hit *choices = jscan_get(s->scanner, CHOICES);
    uint32_t ended = jscan_get(s->scanner, FINISH_REASON)->nonempty;
    int64_t index;

    if (ended == 0)
        return;
    if (choices->count > 1)
        s->finished_unnamed += ended;
    else if (!jscan_int(jscan_get(s->scanner, CHOICE_INDEX), &index))
        s->finished[0] |= 1;
    else if (index >= 0 && index < CHOICES_MAX)
        s->finished[index / 64] |= UINT64_C(1) << (index % 64);
}

static bool all_finished(const struct openai_stream *s)
{
    int64_t named = 0;

    for (size_t i = 0; i < ARRAY_LEN(s->finished); i++)
        named += __builtin_popcountll(s->finished[i]);
    return named + s->finished_unnamed >= s->plan.choices;
}

/* What nearly every chunk has is found by the scan. A chunk counts once, however many choices it carries. */
static bool has_output(const struct openai_stream *s)
{
    for (size_t i = FIRST_TEXT; i <= LAST_TEXT; i++)
        if (jscan_get(s->scanner, i)->nonempty > 0)
            return true;
    for (size_t i = FIRST_LIST; i <= LAST_LIST; i++)
        if (jscan_get(s->scanner, i)->count > 0)
            return true;
    return jscan_get(s->scanner, FIRST_TEXT)->count > 0; /* Mistral's content in parts */
}

/* Else it is looked at closely: what is not known yet counts too. */
static bool has_unknown_output(struct span data)
{
    size_t blanks = strspn(data.data, " \t\n");
    struct span choice;
    struct jview choices =
        jview_of(jview_get((struct span){data.data + blanks, data.len - blanks}, "choices"));

    while (jview_item(&choices, &choice))
        if (answer_delta_says(jview_get(choice, "delta")))
            return true;
    return false;
}

/* The event's bytes without the member "usage" and its comma. Data of several lines, which no provider sends, keep it. */
static struct span without_usage(struct openai_stream *s, const struct sse_event *event)
{
    const struct jscan_hit *usage = jscan_get(s->scanner, USAGE_OBJECT);
    const char *data = memmem(event->raw.data, event->raw.len, event->data.data, event->data.len);
    const char *start, *end;

    if (!usage->seen || !data)
        return event->raw;
    start = data + usage->key_start;
    end = data + usage->end;
    end += strspn(end, " \t"); /* stops at ',' or '}': the data is whole, valid JSON */
    if (*end == ',') {
        end++;
    } else {
        while (start[-1] == ' ' || start[-1] == '\t')
            start--;
        if (start[-1] == ',')
            start--;
    }
    buf_truncate(&s->spliced, 0);
    buf_add(&s->spliced, event->raw.data, (size_t)(start - event->raw.data));
    buf_add(&s->spliced, end, (size_t)(event->raw.data + event->raw.len - end));
    assert(!s->spliced.failed || s->spliced.out_of_memory);
    return s->spliced.failed ? event->raw : buf_span(&s->spliced);
}

/* After the event was passed on: the client's SDK raises it, and the answer is broken. */
/* Its words may quote the prompt, so they reach the client as they came and never an err, which is logged. */
static void note_failure(struct openai_stream *s, struct span name)
{
    const struct jscan_hit *failure = jscan_get(s->scanner, FAILURE);
    bool stated = failure->seen && failure->type != JSCAN_NULL;

    if (!stated && !span_equal(name, SPAN("error")))
        return;
    err_set(&s->err, ERR_UNAVAILABLE, "the backend reports an error in its stream");
    s->broken = s->stopped = true;
}

static void emit(struct openai_stream *s, struct span bytes, int64_t content)
{
    struct backend_event event = {.bytes = bytes, .content = content, .closing = s->closing};

    s->content += content;
    s->plan.on_event(s->plan.arg, &event);
}

static void break_off(struct openai_stream *s)
{
    struct err why = s->err;

    if (s->flushing)
        err_set(&s->err, ERR_CLOSED, "the backend's stream ended in the middle of an event");
    else
        err_set(&s->err, ERR_PROTOCOL, "the backend's stream has an event that is no JSON: %.200s",
                why.text);
    s->broken = s->stopped = true;
}
