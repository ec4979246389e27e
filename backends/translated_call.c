/* translated_call.c - stands between a call and the one that a backend makes of it, in both directions. The inner call meters
 * and decides when the answer is whole; here only its words change. */
#include "backends/translated_call.h"

#include "backends/neutral.h"
#include "lib/base/jscan.h"
#include "lib/base/json.h"
#include "lib/base/jview.h"
#include "lib/base/mem.h"
#include "lib/net/sse.h"

#define EVENT_BYTES_MAX (1024 * 1024)
#define GROWTH          6 /* how much longer what is translated may become: an escape for every byte */
#define ENVELOPE_BYTES  65536 /* and what stands around it */
#define BYTES_PER_TOKEN 4

struct translated_call {
    struct backend_call base;
    struct backend_call *inner;                /* null: it was refused before it began */
    const struct neutral_form *asked, *spoken; /* the caller's dialect, the backend's */
    struct backend_handlers handlers;
    void *arg;
    bool wants_stream;
    int64_t input_bytes;
    char *request_id;
    struct buf body, out;
    struct sse *sse;
    struct neutral_reader reader;
    struct neutral_writer writer;
    int64_t content; /* chunks whose bytes are still to be given */
    bool is_cancelled, has_failed;
    struct err failure; /* why it failed, or was refused */
    struct timer *refusing;
};

static void translated_call_free(struct translated_call *c);
DEFINE_AUTO(translated_call)
static void translated_pause(struct backend_call *base);
static void translated_resume(struct backend_call *base);
static void translated_cancel(struct backend_call *base);
static const struct neutral_form *form_of(enum dialect dialect);
static enum dialect spoken_by(const struct backend_kind *kind, enum dialect dialect);
static void set_up(struct translated_call *c, struct loop *loop,
                   const struct backend_request *request);
static bool translate_request(struct translated_call *c, const struct backend_request *request,
                              struct neutral_places *places, struct err *err);
static void on_refusing(void *arg);
static void on_start(void *arg, unsigned status, struct span content_type);
static void on_event(void *arg, const struct backend_event *event);
static void on_end(void *arg, const struct backend_result *result);
static void on_sse_event(void *arg, const struct sse_event *event);
static void on_sse_part(void *arg, struct span raw, struct span data, bool last);
static bool on_delta(void *arg, const struct neutral_delta *delta, struct err *err);
static void translate_reply(struct translated_call *c, struct span body);
static void take_usage(struct translated_call *c, const struct usage *usage);
static void fail(struct translated_call *c);
static void translate_refusal(struct translated_call *c, struct backend_result *result);

static const struct backend_kind translated_kind = {
    .name = "translated",
    .pause = translated_pause,
    .resume = translated_resume,
    .cancel = translated_cancel,
};

/* --- a call begins --- */

static const struct neutral_form *form_of(enum dialect dialect)
{
    static const struct neutral_form *const forms[DIALECTS] = {
        [DIALECT_OPENAI_CHAT] = &openai_form,
        [DIALECT_ANTHROPIC_MESSAGES] = &anthropic_form,
    };

    return forms[dialect];
}

/* The dialect to translate to; DIALECTS when there is none. */
static enum dialect spoken_by(const struct backend_kind *kind, enum dialect dialect)
{
    for (enum dialect d = 0; d < DIALECTS; d++)
        if (form_of(dialect) && form_of(d) && (kind->speaks & dialect_bit(d)))
            return d;
    return DIALECTS;
}

bool translation_exists(const struct backend_kind *kind, enum dialect dialect)
{
    return spoken_by(kind, dialect) != DIALECTS;
}

struct backend_call *translated_call_start(struct backend *b, const struct backend_request *request,
                                           const struct backend_handlers *handlers, void *arg,
                                           struct err *err)
{
    static const struct backend_handlers own = {on_start, on_event, on_end};
    AUTO(translated_call) c = xcalloc(1, sizeof *c);
    struct backend_request inner = *request;
    struct neutral_places places;

    inner.dialect = spoken_by(b->kind, request->dialect);
    c->base.kind = &translated_kind;
    c->handlers = *handlers;
    c->arg = arg;
    c->asked = form_of(request->dialect);
    c->spoken = form_of(inner.dialect);
    set_up(c, b->loop, request);
    if (!translate_request(c, request, &places, &c->failure)) {
        timer_start(c->refusing, 0);
        return &KEEP(c)->base;
    }
    inner.body = buf_span(&c->body);
    inner.model_value = places.model_value;
    inner.cap_value = places.cap_value;
    inner.stream_options = (struct span){NULL, 0};
    inner.choices = 1;
    inner.usage_wanted = false;
    c->inner = b->kind->start(b, &inner, &own, c, err);
    return c->inner ? &KEEP(c)->base : NULL;
}

static void set_up(struct translated_call *c, struct loop *loop,
                   const struct backend_request *request)
{
    static const struct sse_handlers handlers = {on_sse_event, on_sse_part};

    c->wants_stream = request->stream;
    c->input_bytes = (int64_t)request->body.len;
    c->request_id = request->request_id ? xstrdup(request->request_id) : NULL;
    c->refusing = timer_new(loop, on_refusing, c);
    buf_init(&c->body, request->body.len * GROWTH + ENVELOPE_BYTES);
    buf_init(&c->out, EVENT_BYTES_MAX * GROWTH);
    c->sse = sse_new(EVENT_BYTES_MAX, &handlers, c);
    c->reader = (struct neutral_reader){.on_delta = on_delta, .arg = c};
    neutral_writer_init(&c->writer, c->asked->id_prefix, &c->out);
    c->writer.stream = request->stream;
    c->writer.usage_wanted = request->usage_wanted;
}

static bool translate_request(struct translated_call *c, const struct backend_request *request,
                              struct neutral_places *places, struct err *err)
{
    const struct neutral_frame frame = {
        .model = request->model, .output_cap = request->output_cap, .stream = request->stream};
    AUTO_CLEAR(neutral_request) neutral = {.message_count = 0};

    return c->asked->read_request(request->body, &neutral, err) &&
           c->spoken->write_request(&neutral, &frame, &c->body, places, err);
}

/* No other backend that needs the same translation could do better, but one that needs none may. */
static void on_refusing(void *arg)
{
    AUTO(translated_call) c = arg;
    struct backend_result result = {.outcome = BACKEND_REFUSED, .status = 400};
    AUTO_CLEAR(buf) message = {.max = ERR_TEXT_MAX * GROWTH + 2};
    struct jw w;

    if (c->is_cancelled) {
        result.outcome = BACKEND_CANCELLED;
    } else {
        jw_init(&w, &message);
        jw_string(&w, c->failure.text);
        buf_truncate(&c->out, 0);
        c->asked->write_error(result.status, buf_span(&message), c->request_id, &c->out);
        result.body = buf_span(&c->out);
    }
    c->handlers.on_end(c->arg, &result);
}

static void translated_call_free(struct translated_call *c)
{
    if (!c)
        return;
    timer_free(c->refusing);
    sse_free(c->sse);
    neutral_writer_clear(&c->writer);
    buf_clear(&c->body);
    buf_clear(&c->out);
    free(c->request_id);
    free(c);
}

/* --- steering --- */

static void translated_pause(struct backend_call *base)
{
    struct translated_call *c = (struct translated_call *)base;

    if (c->inner)
        c->inner->kind->pause(c->inner);
}

static void translated_resume(struct backend_call *base)
{
    struct translated_call *c = (struct translated_call *)base;

    if (c->inner)
        c->inner->kind->resume(c->inner);
}

static void translated_cancel(struct backend_call *base)
{
    struct translated_call *c = (struct translated_call *)base;

    c->is_cancelled = true;
    if (c->inner)
        c->inner->kind->cancel(c->inner);
}

/* --- the answer comes --- */

static void on_start(void *arg, unsigned status, struct span content_type)
{
    struct translated_call *c = arg;

    (void)content_type;
    c->handlers.on_start(c->arg, status,
                         c->wants_stream ? SPAN("text/event-stream") : SPAN("application/json"));
}

/* A chunk counts when bytes of it leave. */
static void on_event(void *arg, const struct backend_event *event)
{
    struct translated_call *c = arg;
    struct backend_event translated = {.closing = event->closing};

    take_usage(c, &c->inner->usage);
    if (c->has_failed)
        return;
    if (c->wants_stream)
        sse_feed(c->sse, event->bytes.data, event->bytes.len);
    else
        translate_reply(c, event->bytes);
    if (!c->has_failed && !buf_ok(&c->out, "the translated answer", &c->failure))
        fail(c);
    c->content += event->content;
    if (c->has_failed || c->out.len == 0)
        return;
    translated.bytes = buf_span(&c->out);
    translated.content = c->content;
    c->content = 0;
    c->handlers.on_event(c->arg, &translated);
    buf_truncate(&c->out, 0);
}

static void take_usage(struct translated_call *c, const struct usage *usage)
{
    c->base.usage = *usage;
    if (usage->bucket[USAGE_INPUT].source == USAGE_ESTIMATED)
        usage_set(&c->base.usage, USAGE_INPUT, c->input_bytes / BYTES_PER_TOKEN, USAGE_ESTIMATED);
}

/* The error of a provider ends the inner call, and is told by whoever made this one. */
static void on_sse_event(void *arg, const struct sse_event *event)
{
    struct translated_call *c = arg;

    if (c->has_failed || c->reader.has_ended || !event->has_data ||
        span_equal(event->name, SPAN("error")) || jview_given(event->data, "error").data)
        return;
    if (!c->spoken->read_event(&c->reader, event->data, &c->failure))
        fail(c);
    else if (c->reader.has_ended)
        c->asked->write_end(&c->writer, &c->base.usage);
}

static void on_sse_part(void *arg, struct span raw, struct span data, bool last)
{
    struct translated_call *c = arg;

    (void)raw;
    (void)data;
    (void)last;
    if (c->has_failed)
        return;
    err_set(&c->failure, ERR_PROTOCOL,
            "an event of the backend's stream is too long to be translated");
    fail(c);
}

static bool on_delta(void *arg, const struct neutral_delta *delta, struct err *err)
{
    struct translated_call *c = arg;

    return c->asked->write_delta(&c->writer, delta, err);
}

static void translate_reply(struct translated_call *c, struct span body)
{
    size_t most = body.len * GROWTH + ENVELOPE_BYTES;

    c->out.max = c->writer.text.max = c->writer.reasoning.max = c->writer.calls.max = most;
    if (!c->spoken->read_reply(&c->reader, body, &c->failure))
        fail(c);
    else
        c->asked->write_end(&c->writer, &c->base.usage);
}

static void fail(struct translated_call *c)
{
    c->has_failed = true;
    buf_truncate(&c->out, 0);
    c->inner->kind->cancel(c->inner);
}

/* --- the call ends --- */

static void on_end(void *arg, const struct backend_result *inner)
{
    AUTO(translated_call) c = arg;
    struct backend_result result = *inner;

    if (result.accepted && result.outcome != BACKEND_REFUSED) {
        take_usage(c, &inner->usage);
        result.usage = c->base.usage;
    }
    if (c->has_failed && !c->is_cancelled) {
        result.outcome = BACKEND_BROKEN;
        result.err = c->failure;
    } else if (result.outcome == BACKEND_REFUSED) {
        translate_refusal(c, &result);
    }
    c->handlers.on_end(c->arg, &result);
}

/* Only its sentence: types and codes mean other things in the other dialect. */
static void translate_refusal(struct translated_call *c, struct backend_result *result)
{
    static const char *const paths[] = {"error.message"};
    AUTO(jscan) scanner = jscan_new(paths, 1);
    struct span message, body = result->body;

    result->body = SPAN("");
    if (jscan_feed(scanner, body.data, body.len, NULL) == JSCAN_BAD || !jscan_end(scanner, NULL))
        return;
    message = jview_get(jview_get(body, "error"), "message");
    buf_truncate(&c->out, 0);
    if (jview_is_string(message))
        c->asked->write_error(result->status, message, c->request_id, &c->out);
    result->body = buf_span(&c->out);
}
