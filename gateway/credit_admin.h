/* credit_admin.h - top-ups of accounts and their corrections. A handler of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_CREDIT_ADMIN_H
#define TOLLGATE_GATEWAY_CREDIT_ADMIN_H

#include "gateway/route.h"

void credit_post(void *server, struct http_request *r, const struct route_match *match);

#endif
