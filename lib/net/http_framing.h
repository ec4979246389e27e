/* http_framing.h - what Host, Content-Length, Transfer-Encoding, Connection and Expect mean for a message.
 *
 * Where a body ends must be said once and without doubt, or two servers in a row disagree about where the next
 * request begins (RFC 9112 sections 6 and 11.2). */
#ifndef TOLLGATE_NET_HTTP_FRAMING_H
#define TOLLGATE_NET_HTTP_FRAMING_H

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/net/http_head.h"

struct http_framing {
    struct http_head
        *head; /* whose host, body, length, keep_alive and expect_continue are filled in */
    struct span authority; /* of an absolute target: must be what Host says */
    bool is_request;
    bool has_host, has_length, is_chunked;
    bool asks_close, asks_keep_alive;
};

void http_framing_init(struct http_framing *f, struct http_head *head, bool is_request);
/* Takes one header; false: refused, with the status to answer a request with and ERR_INPUT. */
bool http_framing_take(struct http_framing *f, const struct http_header *header, unsigned *status,
                       struct err *err) MUST_USE;
/* After the last header. */
bool http_framing_end_request(struct http_framing *f, unsigned *status, struct err *err) MUST_USE;
bool http_framing_end_response(struct http_framing *f, struct span method,
                               struct err *err) MUST_USE;

#endif
