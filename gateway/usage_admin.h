/* usage_admin.h - calls of all accounts, for the operator. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_USAGE_ADMIN_H
#define TOLLGATE_GATEWAY_USAGE_ADMIN_H

#include "gateway/route.h"

void usage_admin_list_get(void *server, struct http_request *r, const struct route_match *match); /* ?account=&limit=1..10000, newest first */
void usage_admin_get(void *server, struct http_request *r, const struct route_match *match);
void receipt_admin_get(void *server, struct http_request *r, const struct route_match *match);

#endif
