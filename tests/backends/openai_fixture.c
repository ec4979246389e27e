/* openai_fixture.c - see the header. */
#include "tests/backends/openai_fixture.h"

#include <check.h>
#include <string.h>

const char body[] = "{\"model\":\"demo/up\",\"messages\":[{\"role\":\"user\","
                    "\"content\":\"hi\"}],\"stream\":true}";

static void on_start(void *arg, unsigned status, struct span content_type)
{
    struct call *c = arg;

    ck_assert_int_eq(c->events, 0);
    c->starts++;
    c->status = status;
    ck_assert(span_copy(content_type, c->content_type, sizeof c->content_type));
}

static void on_event(void *arg, const struct backend_event *event)
{
    struct call *c = arg;

    ck_assert_int_eq(c->starts, 1);
    ck_assert(event->closing || !c->closing);
    if (event->closing && !c->closing)
        c->closing_at = c->bytes.len;
    c->closing += event->closing;
    c->events++;
    c->content += event->content;
    buf_add_span(&c->bytes, event->bytes);
    if (c->events == c->pause_at)
        backend_pause(c->call);
    if (c->events == c->cancel_at)
        backend_cancel(c->call);
    if (c->events == c->cancel_at)
        ck_assert_int_eq(c->ends, 0);
}

static void on_end(void *arg, const struct backend_result *result)
{
    struct call *c = arg;

    c->ends++;
    c->ended = true;
    c->result = *result;
    buf_add_span(&c->refusal, result->body);
}

const struct backend_handlers call_handlers = {on_start, on_event, on_end};

struct backend_config config_of(const char *url)
{
    return (struct backend_config){
        .kind = "openai",
        .url = url,
        .connect_ms = WAIT_MS,
        .first_byte_ms = WAIT_MS,
        .between_bytes_ms = WAIT_MS,
        .reply_bytes_max = 4096,
        .idle_max = 4,
        .idle_ms = WAIT_MS,
    };
}

struct backend_request asking(bool stream)
{
    struct backend_request r = {
        .body = span_of(body),
        .model_value = {strstr(body, "\"demo/up\""), strlen("\"demo/up\"")},
        .model = "real",
        .stream = stream,
        .choices = 1,
        .request_id = "req-77",
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };

    return r;
}

void call_open(struct call *c, const struct backend_config *config)
{
    struct err err;

    *c = (struct call){.loop = loop_new(&err)};
    ck_assert(c->loop);
    c->backend = backend_open(c->loop, config, &err);
    ck_assert_msg(c->backend, "%s", err.text);
    buf_init(&c->bytes, SIZE_MAX);
    buf_init(&c->refusal, SIZE_MAX);
}

void call_start(struct call *c, const struct backend_request *r)
{
    struct err err;

    c->starts = c->events = c->ends = c->closing = 0;
    c->content = 0;
    c->ended = false;
    c->bytes.len = c->refusal.len = 0;
    c->call = backend_start(c->backend, r, &call_handlers, c, &err);
    ck_assert_msg(c->call, "%s", err.text);
    ck_assert_int_eq(c->starts + c->events + c->ends, 0);
}

void call_run(struct call *c, const struct backend_request *r)
{
    call_start(c, r);
    ck_assert(loop_run_until(c->loop, &c->ended, WAIT_MS));
    ck_assert_int_eq(c->ends, 1);
}

void call_close(struct call *c)
{
    backend_free(c->backend);
    loop_free(c->loop);
    buf_clear(&c->bytes);
    buf_clear(&c->refusal);
}

void run_script(struct call *c, const struct upstream_step *script, bool stream)
{
    const struct upstream_step *const scripts[] = {script};
    AUTO(upstream) u = upstream_new(scripts, 1);
    struct backend_config config = config_of(upstream_url(u));
    struct backend_request r = asking(stream);

    call_open(c, &config);
    call_run(c, &r);
}

void check_bucket(const struct call *c, enum usage_bucket b, int64_t n, enum usage_source source)
{
    ck_assert_int_eq(c->result.usage.bucket[b].n, n);
    ck_assert_int_eq(c->result.usage.bucket[b].source, source);
}
