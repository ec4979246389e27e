/* client_routes.h - what an account sees of itself in the console, with a key of its own; the same
 * figures as under /v1. The server is the struct console. */
#ifndef TOLLGATE_GATEWAY_CLIENT_ROUTES_H
#define TOLLGATE_GATEWAY_CLIENT_ROUTES_H

#include "gateway/route.h"

void client_balance_get(void *server, struct http_request *r, const struct route_match *match);
void client_calls_get(void *server, struct http_request *r,
                      const struct route_match *match); /* ?limit= ?before= */

#endif
