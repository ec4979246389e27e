/* usage_admin.h - a list of calls of all accounts, for the operator. A handler of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_USAGE_ADMIN_H
#define TOLLGATE_GATEWAY_USAGE_ADMIN_H

#include "gateway/route.h"

void usage_admin_list_get(void *server, struct http_request *r, const struct route_match *match); /* ?account=&limit=1..10000, newest first */

#endif
