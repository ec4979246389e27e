/* past_admin.h - what past_client.h asks, answered by past_reader.h. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_PAST_ADMIN_H
#define TOLLGATE_GATEWAY_PAST_ADMIN_H

#include "gateway/route.h"

void past_find_get(void *server, struct http_request *r,
                   const struct route_match *match); /* ?account=: the record, or 404 */
/* ?account=&before=&until_ms=&limit=: a line {"has_more"}, then a line for each record, newest first. */
void past_list_get(void *server, struct http_request *r, const struct route_match *match);

#endif
