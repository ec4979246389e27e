/* call_admin.h - one call of any account, for the operator. Handlers of admin.sock; the server is
 * the struct console. */
#ifndef TOLLGATE_GATEWAY_CALL_ADMIN_H
#define TOLLGATE_GATEWAY_CALL_ADMIN_H

#include "gateway/route.h"

/* The event, with what was given back of it. */
void call_admin_get(void *server, struct http_request *r, const struct route_match *match);
void call_receipt_admin_get(void *server, struct http_request *r, const struct route_match *match);
void refund_receipt_admin_get(void *server, struct http_request *r,
                              const struct route_match *match);

#endif
