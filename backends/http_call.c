/* http_call.c - a call goes through one of three readers, chosen by the reply's head: a refusal's body is kept, a plain
 * answer is kept until it is whole, a stream passes through event by event. Whatever happens, the HTTP call's end is the
 * one place where the outcome is decided and the call dies; who wants it over earlier notes why and cancels the HTTP call. */
#include "backends/http_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/answer_stream.h"
#include "backends/answer_text.h"
#include "backends/anthropic_reply.h"
#include "backends/openai_request.h"
#include "backends/retry_after.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define ANTHROPIC_VERSION "2023-06-01"
#define AFTER_DONE_MS \
    250 /* for the body to end after [DONE], so that the connection can be used again */
#define HEADER_TEXT 128

enum reading { HEAD, REFUSAL, REPLY, STREAM };

struct http_call {
    struct backend_call base;
    const struct http_backend *server;
    struct backend_handlers handlers;
    void *arg;
    enum dialect dialect;
    bool wants_stream, usage_wanted;
    int64_t choices, input_bytes;
    int64_t output_max; /* that was asked for; 0: not known */
    struct buf body;    /* what is sent, unless it is the caller's own */
    struct buf head;
    struct httpc_call *http;
    enum reading reading;
    unsigned status;
    char content_type[HEADER_TEXT];
    int64_t retry_after_ms; /* of a refusal */
    struct buf kept;        /* a refusal or a plain answer */
    struct answer_stream *stream;
    struct timer *after_done, *total;
    bool has_started; /* on_start was called */
    bool is_over;     /* nothing more is read: it failed, is done, or was cancelled */
    bool is_cancelled, has_failed;
    struct err failure;
};

static void http_call_free(struct http_call *c);
DEFINE_AUTO(http_call)
static bool send_request(struct http_call *c, const struct backend_request *request,
                         struct err *err);
static void add_headers(struct http_call *c, const struct backend_request *request);
static void add_header(struct buf *head, const char *name, const char *value);
static void on_http_head(void *arg, const struct http_head *head);
static void on_http_bytes(void *arg, const char *bytes, size_t n);
static void on_http_end(void *arg, const struct err *err);
static void keep_header(const struct http_head *head, const char *name, char out[HEADER_TEXT]);
static bool is_encoded(const struct http_head *head);
static bool is_event_stream(const char *content_type);
static bool is_json(const char *content_type);
static void begin_stream(struct http_call *c);
static void keep(struct http_call *c, const char *bytes, size_t n);
static void feed_stream(struct http_call *c, const char *bytes, size_t n);
static void on_stream_event(void *arg, const struct backend_event *event);
static void on_after_done(void *arg);
static void on_total(void *arg);
static void refresh_usage(struct http_call *c);
static void give(struct http_call *c, const struct backend_event *event);
static void fail(struct http_call *c, const struct err *why);
static void stop(struct http_call *c);
static void decide(struct http_call *c, const struct err *end, struct backend_result *result);
static void end_stream(struct http_call *c, const struct err *end, struct backend_result *result);
static void end_reply(struct http_call *c, struct backend_result *result);
static void bound_estimate(struct http_call *c);
static void set_refused(struct http_call *c, unsigned status, struct backend_result *result);
static void set_broken(const struct err *why, struct backend_result *result);
static void note_contradiction(const struct http_call *c, bool as_stated);

/* --- a call begins --- */

struct backend_call *http_call_start(const struct backend_kind *kind,
                                     const struct http_backend *server,
                                     const struct backend_request *request,
                                     const struct backend_handlers *handlers, void *arg,
                                     struct err *err)
{
    AUTO(http_call) c = xcalloc(1, sizeof *c);

    c->base.kind = kind;
    c->server = server;
    c->handlers = *handlers;
    c->arg = arg;
    c->dialect = request->dialect;
    c->wants_stream = request->stream;
    c->usage_wanted = request->usage_wanted;
    c->choices = request->choices;
    c->output_max = request->output_cap * (request->choices > 1 ? request->choices : 1);
    c->input_bytes = (int64_t)request->body.len;
    c->after_done = timer_new(c->server->loop, on_after_done, c);
    c->total = timer_new(c->server->loop, on_total, c);
    refresh_usage(c);
    if (!send_request(c, request, err))
        return NULL;
    if (server->total_ms > 0)
        timer_start(c->total, server->total_ms);
    return &KEEP(c)->base;
}

static bool send_request(struct http_call *c, const struct backend_request *request,
                         struct err *err)
{
    static const struct httpc_handlers handlers = {on_http_head, on_http_bytes, on_http_end};
    struct httpc_request http = {.method = SPAN("POST"),
                                 .target = span_of(c->server->targets[request->dialect])};

    if (!openai_request_edit(request, &c->body, &http.body, err))
        return false;
    buf_init(&c->head, c->server->head_bytes_max);
    add_headers(c, request);
    if (!buf_ok(&c->head, "the request's head", err))
        return false;
    http.head_lines = buf_span(&c->head);
    c->http = httpc_call(c->server->http, &http, &handlers, c, err);
    return c->http != NULL;
}

/* All that travels: nothing of the caller's own head. */
static void add_headers(struct http_call *c, const struct backend_request *request)
{
    add_header(&c->head, "content-type", "application/json");
    add_header(&c->head, "accept", request->stream ? "text/event-stream" : "application/json");
    add_header(&c->head, "accept-encoding", "identity");
    add_header(&c->head, "user-agent", "tollgate");
    add_header(&c->head, "x-request-id", request->request_id);
    add_header(&c->head, "traceparent", request->traceparent);
    if (request->dialect == DIALECT_ANTHROPIC_MESSAGES)
        add_header(&c->head, "anthropic-version", ANTHROPIC_VERSION);
    if (c->server->has_key) {
        buf_add_string(&c->head, request->dialect == DIALECT_ANTHROPIC_MESSAGES
                                     ? "x-api-key: "
                                     : "authorization: Bearer ");
        buf_add_span(&c->head, secret_reveal(&c->server->key));
        buf_add_string(&c->head, "\r\n");
    }
}

static void add_header(struct buf *head, const char *name, const char *value)
{
    if (!value)
        return;
    assert(!strpbrk(value, "\r\n"));
    buf_add_string(head, name);
    buf_add(head, ": ", 2);
    buf_add_string(head, value);
    buf_add(head, "\r\n", 2);
}

static void http_call_free(struct http_call *c)
{
    if (!c)
        return;
    if (c->head.data)
        explicit_bzero(c->head.data, c->head.len); /* it spells the key */
    buf_clear(&c->head);
    buf_clear(&c->body);
    buf_clear(&c->kept);
    answer_stream_free(c->stream);
    timer_free(c->after_done);
    timer_free(c->total);
    free(c);
}

/* --- steering --- */

void http_call_pause(struct backend_call *base)
{
    struct http_call *c = (struct http_call *)base;

    if (!c->is_over)
        httpc_pause(c->http);
}

void http_call_resume(struct backend_call *base)
{
    struct http_call *c = (struct http_call *)base;

    if (!c->is_over)
        httpc_resume(c->http);
}

void http_call_cancel(struct backend_call *base)
{
    struct http_call *c = (struct http_call *)base;

    c->is_cancelled = true;
    stop(c);
}

/* Whether for good or ill, the connection is of no more use. Its end is reported in a later turn. */
static void stop(struct http_call *c)
{
    if (c->stream)
        answer_stream_stop(c->stream);
    timer_stop(c->after_done);
    timer_stop(c->total);
    if (!c->is_over)
        httpc_cancel(c->http);
    c->is_over = true;
}

static void fail(struct http_call *c, const struct err *why)
{
    c->failure = *why;
    c->has_failed = true;
    stop(c);
}

/* --- the reply comes --- */

static void on_http_head(void *arg, const struct http_head *head)
{
    struct http_call *c = arg;
    struct err why;

    if (c->is_over)
        return;
    c->status = head->status;
    keep_header(head, "content-type", c->content_type);
    if (head->status >= 400) {
        c->retry_after_ms = retry_after_ms(head);
        buf_init(&c->kept, BACKEND_REFUSAL_MAX);
        c->reading = REFUSAL;
    } else if (head->status < 200 || head->status >= 300) {
        err_set(&why, ERR_PROTOCOL, "the backend answers with status %u", head->status);
        fail(c, &why);
    } else if (is_encoded(head)) {
        err_set(&why, ERR_PROTOCOL, "the backend's answer is encoded, which was not asked for");
        fail(c, &why);
    } else if (c->wants_stream && is_event_stream(c->content_type)) {
        begin_stream(c);
    } else {
        buf_init(&c->kept, (size_t)c->server->reply_bytes_max);
        c->reading = REPLY;
    }
}

/* One that is too long for any sensible value is as good as none. */
static void keep_header(const struct http_head *head, const char *name, char out[HEADER_TEXT])
{
    if (!span_copy(http_header_get(head, name), out, HEADER_TEXT))
        out[0] = '\0';
}

static bool is_encoded(const struct http_head *head)
{
    struct span coding = http_header_get(head, "content-encoding");

    return coding.len > 0 && !span_equal_nocase(coding, SPAN("identity"));
}

static bool is_event_stream(const char *content_type)
{
    struct span type = {content_type, strcspn(content_type, "; \t")};

    return span_equal_nocase(type, SPAN("text/event-stream"));
}

/* Some servers name none. A page that happens to be JSON is no answer. */
static bool is_json(const char *content_type)
{
    struct span type = {content_type, strcspn(content_type, "; \t")};

    return type.len == 0 || span_equal_nocase(type, SPAN("application/json"));
}

static void begin_stream(struct http_call *c)
{
    const struct openai_stream_plan plan = {
        .usage_wanted = c->usage_wanted,
        .choices = c->choices,
        .event_bytes_max = c->server->event_bytes_max,
        .on_event = on_stream_event,
        .arg = c,
    };

    c->stream = answer_stream_new(c->dialect, &plan);
    c->reading = STREAM;
}

static void on_http_bytes(void *arg, const char *bytes, size_t n)
{
    struct http_call *c = arg;

    if (c->is_over)
        return;
    if (c->reading == STREAM)
        feed_stream(c, bytes, n);
    else
        keep(c, bytes, n);
}

/* Of a refusal as much as fits, of an answer all or nothing. */
static void keep(struct http_call *c, const char *bytes, size_t n)
{
    size_t room = c->kept.max - c->kept.len;
    struct err why;

    if (c->reading == REFUSAL && n > room) {
        buf_add(&c->kept, bytes, room);
        stop(c);
    } else if (!buf_add(&c->kept, bytes, n) && !buf_ok(&c->kept, "the backend's answer", &why)) {
        fail(c, &why);
    }
}

static void feed_stream(struct http_call *c, const char *bytes, size_t n)
{
    bool was_done = answer_stream_is_done(c->stream);
    struct err why;

    if (!answer_stream_feed(c->stream, bytes, n, &why)) {
        fail(c, &why);
    } else if (!was_done && answer_stream_is_done(c->stream) && !c->is_over) {
        timer_stop(c->total);
        timer_start(c->after_done, AFTER_DONE_MS);
    }
}

/* The answer is whole but its body does not end: the client need not wait for that. */
static void on_after_done(void *arg)
{
    stop(arg);
}

static void on_total(void *arg)
{
    struct http_call *c = arg;
    struct err why;

    err_set(&why, ERR_TIMEOUT, "%s did not end its reply within %" PRId64 " ms",
            httpc_host(c->server->http), c->server->total_ms);
    fail(c, &why);
}

static void on_stream_event(void *arg, const struct backend_event *event)
{
    struct http_call *c = arg;

    refresh_usage(c);
    give(c, event);
}

static void give(struct http_call *c, const struct backend_event *event)
{
    if (!c->has_started) {
        c->has_started = true;
        c->handlers.on_start(c->arg, c->status, span_of(c->content_type));
    }
    if (!c->is_cancelled)
        c->handlers.on_event(c->arg, event);
}

static void refresh_usage(struct http_call *c)
{
    if (c->base.usage.bucket[USAGE_INPUT].source == USAGE_MISSING)
        usage_set(&c->base.usage, USAGE_INPUT, c->input_bytes / BYTES_PER_TOKEN, USAGE_ESTIMATED);
    if (c->stream)
        (void)answer_stream_usage(c->stream, &c->base.usage);
}

/* --- the call ends --- */

/* `err` null: the body ended as framed. */
static void on_http_end(void *arg, const struct err *err)
{
    AUTO(http_call) c = arg;
    struct backend_result result = {.accepted = httpc_may_be_accepted(c->http)};

    c->http = NULL;
    c->is_over = true;
    timer_stop(c->after_done);
    decide(c, err, &result);
    if (c->is_cancelled) /* perhaps by the event that the decision gave out */
        result.outcome = BACKEND_CANCELLED;
    if (result.accepted && result.outcome != BACKEND_REFUSED)
        result.usage = c->base.usage;
    c->handlers.on_end(c->arg, &result);
}

static void decide(struct http_call *c, const struct err *end, struct backend_result *result)
{
    if (c->is_cancelled)
        result->outcome = BACKEND_CANCELLED;
    else if (c->has_failed)
        set_broken(&c->failure, result);
    else if (c->reading == REFUSAL)
        set_refused(c, c->status, result);
    else if (c->reading == STREAM)
        end_stream(c, end, result);
    else if (end)
        set_broken(end, result);
    else
        end_reply(c, result);
}

static void end_stream(struct http_call *c, const struct err *end, struct backend_result *result)
{
    struct err why;

    result->outcome = BACKEND_COMPLETE;
    if (end && !answer_stream_is_done(c->stream))
        set_broken(end, result);
    else if (!answer_stream_end(c->stream, &why))
        set_broken(&why, result);
    note_contradiction(c, answer_stream_usage(c->stream, &c->base.usage));
}

static bool read_reply(const struct http_call *c, struct span body, struct openai_reply *out,
                       struct usage *usage, struct err *err)
{
    if (c->dialect == DIALECT_ANTHROPIC_MESSAGES)
        return anthropic_reply_read(c->server->message_scanner, body, out, usage, err);
    return openai_reply_read(c->server->reply_scanner, c->dialect, body, out, usage, err);
}

static void end_reply(struct http_call *c, struct backend_result *result)
{
    struct usage usage = {0};
    struct backend_event event = {.bytes = buf_span(&c->kept), .closing = true};
    struct openai_reply reply;
    struct err why;

    if (!read_reply(c, event.bytes, &reply, &usage, &why)) {
        set_broken(&why, result);
    } else if (reply.refused_status) {
        set_refused(c, reply.refused_status, result);
    } else if (c->wants_stream || !is_json(c->content_type)) {
        err_set(&why, ERR_PROTOCOL, "the backend answers \"%s\" where %s was asked for",
                c->content_type, c->wants_stream ? "a stream" : "JSON");
        set_broken(&why, result);
    } else {
        if (!c->content_type[0])
            snprintf(c->content_type, sizeof c->content_type, "application/json");
        c->base.usage = usage;
        bound_estimate(c);
        refresh_usage(c);
        note_contradiction(c, reply.usage_as_stated);
        event.content = reply.content;
        result->outcome = BACKEND_COMPLETE;
        give(c, &event);
    }
}

/* Who asked for no more than that is not billed for more by a guess. */
static void bound_estimate(struct http_call *c)
{
    int64_t n = c->base.usage.bucket[USAGE_OUTPUT].n;

    if (c->base.usage.bucket[USAGE_OUTPUT].source == USAGE_ESTIMATED && c->output_max > 0 &&
        n > c->output_max)
        usage_set(&c->base.usage, USAGE_OUTPUT, c->output_max, USAGE_ESTIMATED);
}

/* A provider that is too busy has not begun. */
static void set_refused(struct http_call *c, unsigned status, struct backend_result *result)
{
    result->outcome = BACKEND_REFUSED;
    result->status = status;
    result->body = buf_span(&c->kept);
    if (result->body.len > BACKEND_REFUSAL_MAX)
        result->body.len = BACKEND_REFUSAL_MAX;
    result->retry_after_ms = c->retry_after_ms;
    if (status == 429 || status == 503)
        result->accepted = false;
}

static void set_broken(const struct err *why, struct backend_result *result)
{
    result->outcome = why->code == ERR_TIMEOUT ? BACKEND_TIMED_OUT : BACKEND_BROKEN;
    result->err = *why;
}

static void note_contradiction(const struct http_call *c, bool as_stated)
{
    if (!as_stated && !c->base.usage.disbelieved)
        log_warn("usage_contradictory", "%s states parts of its usage that exceed their total",
                 httpc_host(c->server->http));
}
