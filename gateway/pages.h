/* pages.h - the web console's files, embedded at build from gateway/pages/. They know no figures:
 * what they show they ask for under /api/v1, with what the person who looks at them signed in with. */
#ifndef TOLLGATE_GATEWAY_PAGES_H
#define TOLLGATE_GATEWAY_PAGES_H

#include "gateway/route.h"

extern const char page_index[], page_icon[], page_style[], page_text[], page_format[], page_dom[],
    page_chart[], page_api[], page_calls[], page_client[], page_creator[], page_finance[],
    page_app[];

/* GET / and /pages/:name. Revalidated each time by ETag; nothing may be loaded from anywhere else, and no other site may
 * frame them (content-security-policy). */
void page_index_get(void *server, struct http_request *r, const struct route_match *match);
void page_get(void *server, struct http_request *r, const struct route_match *match);

#endif
