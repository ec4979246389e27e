/* account_admin.h - accounts: opening, other limits, showing. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_ACCOUNT_ADMIN_H
#define TOLLGATE_GATEWAY_ACCOUNT_ADMIN_H

#include "gateway/route.h"

void account_post(void *server, struct http_request *r, const struct route_match *match);
void account_limit_post(void *server, struct http_request *r, const struct route_match *match);
void accounts_get(void *server, struct http_request *r, const struct route_match *match);
void account_get(void *server, struct http_request *r, const struct route_match *match);

#endif
