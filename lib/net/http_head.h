/* http_head.h - what the head of a request or response says, however it arrived. */
#ifndef TOLLGATE_NET_HTTP_HEAD_H
#define TOLLGATE_NET_HTTP_HEAD_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

#define HTTP_HEADERS_MAX 100

struct http_header {
    struct span name, value; /* value without surrounding blanks */
};

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

/* Spans point into the bytes that were parsed. */
struct http_head {
    struct span method, target, host; /* of a request; an absolute target is cut to its path */
    unsigned status;                  /* of a response */
    unsigned minor;                   /* HTTP/1.minor, 0 or 1 */
    enum http_body body;
    uint64_t length; /* when body is HTTP_BODY_LENGTH; 0 is possible */
    bool keep_alive;
    bool expect_continue;
    size_t header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* A header to be sent. */
struct http_field {
    const char *name;
    const char *value;
};

/* The first header of that name (case-insensitive); an empty span with null data when there is none. */
struct span http_header_get(const struct http_head *head, const char *name);
size_t http_header_count(const struct http_head *head, const char *name);
/* The bytes that were parsed at `from` now stand at `to`: moves every span. */
void http_head_rebase(struct http_head *head, const char *from, const char *to);

/* "Not Found"; "" for a status that has no name here. */
const char *http_reason(unsigned status);

#endif
