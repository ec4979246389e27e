/* usage_reply.h - answers about an account's own calls: the same from a worker's API
 * and from the console. */
#ifndef TOLLGATE_GATEWAY_USAGE_REPLY_H
#define TOLLGATE_GATEWAY_USAGE_REPLY_H

#include "billing/record.h"
#include "lib/net/httpd.h"

/* ?limit=N&before=REQUEST_ID */
struct usage_page {
    size_t limit;                 /* 1 to 1000; 20 unless asked */
    char before[REQUEST_ID_TEXT]; /* "": from the newest on */
};
/* False, having answered 400. */
bool usage_page_asked(struct http_request *r, struct usage_page *out) MUST_USE;

/* {"object":"list","data":[usage_view.h],"has_more"}; `lines` are records of calls. */
void usage_reply_page(struct http_request *r, const struct span *lines, size_t count, bool has_more,
                      const struct err *err);

#endif
