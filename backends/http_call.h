/* http_call.h - one call over HTTP, at a server that speaks one of OpenAI's dialects or Anthropic's. */
#ifndef TOLLGATE_BACKENDS_HTTP_CALL_H
#define TOLLGATE_BACKENDS_HTTP_CALL_H

#include "backends/kind.h"
#include "lib/base/jscan.h"
#include "lib/net/httpc.h"

/* What calls need to know of where they go; it outlives them. */
struct http_backend {
    struct loop *loop;
    struct httpc *http;
    struct jscan *reply_scanner, *message_scanner; /* of openai_reply.h, anthropic_reply.h */
    char *targets[DIALECTS];     /* "/v1/chat/completions", … */
    bool has_key;
    struct secret key;
    size_t head_bytes_max; /* of a request */
    size_t reply_bytes_max, event_bytes_max;
    int64_t total_ms; /* 0: no end is set */
};

/* The promises of backend_start() and the others. */
struct backend_call *http_call_start(const struct backend_kind *kind,
                                       const struct http_backend *server,
                                       const struct backend_request *request,
                                       const struct backend_handlers *handlers, void *arg,
                                       struct err *err) MUST_USE;
void http_call_pause(struct backend_call *base);
void http_call_resume(struct backend_call *base);
void http_call_cancel(struct backend_call *base);

#endif
