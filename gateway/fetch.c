/* fetch.c - an HTTP client with a loop of its own, run until the answer is there. */
#include "gateway/fetch.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/net/httpc.h"

#define HOUR_MS        INT64_C(3600000)
#define CONNECT_MS     5000
#define HEAD_BYTES_MAX 65536

struct fetch {
    struct loop *loop;
    struct httpc *httpc;
};

struct progress {
    struct fetch_answer *answer;
    struct httpc_call *call;
    bool is_over, failed;
    struct err err;
};

static void on_head(void *arg, const struct http_head *head);
static void on_bytes(void *arg, const char *bytes, size_t n);
static void on_end(void *arg, const struct err *err);
static bool give_up(struct fetch *f, struct progress *p, const struct fetch_request *request,
                    struct err *err);

struct fetch *fetch_new(const char *origin, struct tls_context *tls, struct err *err)
{
    static const struct httpc_limits limits = {
        .idle_max = 1,
        .idle_ms = 1000,
        .connect_ms = CONNECT_MS,
        .first_byte_ms = HOUR_MS,
        .between_bytes_ms = HOUR_MS,
        .head = {.head_bytes_max = HEAD_BYTES_MAX, .target_bytes_max = HEAD_BYTES_MAX},
    };
    AUTO(fetch) f = xcalloc(1, sizeof *f);

    f->loop = loop_new(err);
    if (!f->loop)
        return NULL;
    f->httpc = httpc_new(f->loop, &(struct httpc_origin){.url = origin, .tls = tls}, &limits, err);
    return f->httpc ? KEEP(f) : NULL;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    httpc_free(f->httpc);
    loop_free(f->loop);
    free(f);
}

bool fetch_call(struct fetch *f, const struct fetch_request *request, struct fetch_answer *answer,
                struct err *err)
{
    static const struct httpc_handlers handlers = {on_head, on_bytes, on_end};
    const struct httpc_request http = {
        .method = span_of(request->method),
        .target = span_of(request->target),
        .head_lines = span_of(request->head_lines ? request->head_lines : ""),
        .body = request->body,
    };
    struct progress p = {.answer = answer};

    p.call = httpc_call(f->httpc, &http, &handlers, &p, err);
    if (!p.call)
        return false;
    if (!loop_run_until(f->loop, &p.is_over, request->timeout_ms))
        return give_up(f, &p, request, err);
    if (p.failed)
        return err_set(err, p.err.code, "%s", p.err.text);
    return buf_ok(&answer->body, "the answer", err);
}

static void on_head(void *arg, const struct http_head *head)
{
    ((struct progress *)arg)->answer->status = head->status;
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct progress *p = arg;

    if (!p->answer->body.failed && !buf_add(&p->answer->body, bytes, n))
        httpc_cancel(p->call);
}

static void on_end(void *arg, const struct err *err)
{
    struct progress *p = arg;

    p->is_over = true;
    p->failed = err && !p->answer->body.failed;
    if (err)
        p->err = *err;
}

static bool give_up(struct fetch *f, struct progress *p, const struct fetch_request *request,
                    struct err *err)
{
    httpc_cancel(p->call);
    while (!loop_run_until(f->loop, &p->is_over, 1000))
        ;
    return err_set(err, ERR_TIMEOUT, "no answer within %lld s",
                   (long long)(request->timeout_ms / 1000));
}
