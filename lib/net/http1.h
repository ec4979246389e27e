/* http1.h - HTTP/1.1 heads, strictly as RFC 9112 and stricter where leniency lets requests be smuggled.
 * Pure functions over bytes; no input, no output. Bodies are framed by http1_chunks.h; the connection is httpd.h
 * (server) and httpc.h (client). */
#ifndef TOLLGATE_NET_HTTP1_H
#define TOLLGATE_NET_HTTP1_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/http_head.h"

struct http_limits {
    size_t head_bytes_max;   /* else 431 */
    size_t target_bytes_max; /* else 414 */
};

/* Bytes of the whole head including the blank line; 0: more is needed; -1: refused, then `*status` (400, 405, 414, 417,
 * 431, 501, 505) and err say why, and `out` has what had been read by then. Everything in "HTTP/1.1 must refuse" of the
 * architecture page is refused. What is once refused or whole stays so however many bytes follow. One empty line before
 * the request is skipped (RFC 9112 section 2.2). */
int64_t http1_request(struct span bytes, const struct http_limits *limits, struct http_head *out,
                      unsigned *status, struct err *err) MUST_USE;
/* A response to `method`; 1xx are returned like any other and skipped by the caller. Refused with ERR_PROTOCOL, or
 * ERR_LIMIT when it is too large. */
int64_t http1_response(struct span bytes, struct span method, const struct http_limits *limits,
                       struct http_head *out, struct err *err) MUST_USE;

#endif
