/* http1_reply.h - the head of an answer as bytes. */
#ifndef TOLLGATE_NET_HTTP1_REPLY_H
#define TOLLGATE_NET_HTTP1_REPLY_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/http_head.h"

/* The date header's line, made anew when the second changes. Starts zeroed. */
struct http1_date {
    int64_t second;
    char line[48]; /* "date: Sun, 22 Nov 2026 10:52:55 GMT\r\n" */
};

struct http1_reply {
    unsigned status;
    const struct http_field *fields;
    size_t field_count;
    enum http_body body;    /* NONE: neither length nor coding is stated */
    uint64_t length;        /* when body is HTTP_BODY_LENGTH */
    const char *connection; /* "close", "keep-alive", or null: not stated */
};

/* Appends the head with its blank line. A control byte in a field's value is sent as a blank, so that no value can end
 * its line. */
void http1_reply_head(struct buf *out, const struct http1_reply *reply, struct http1_date *date);

#endif
