/* creator_routes.h - earnings, for the creator with its own key and for the operator on admin.sock. The server is the struct console. */
#ifndef TOLLGATE_GATEWAY_CREATOR_ROUTES_H
#define TOLLGATE_GATEWAY_CREATOR_ROUTES_H

#include "gateway/route.h"

void creator_earnings_get(void *server, struct http_request *r, const struct route_match *match); /* the caller's own; ?period=2026-11 */
void creator_show_get(void *server, struct http_request *r, const struct route_match *match);     /* any creator's, by id */

#endif
