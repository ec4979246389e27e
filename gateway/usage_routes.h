/* usage_routes.h - a client's own calls: list, one, its receipt, its refunds' receipts; and what is left of the credit. */
#ifndef TOLLGATE_GATEWAY_USAGE_ROUTES_H
#define TOLLGATE_GATEWAY_USAGE_ROUTES_H

#include "gateway/route.h"

void usage_list_get(void *server, struct http_request *r, const struct route_match *match); /* ?limit=1..1000&before=<request id> */
void usage_get(void *server, struct http_request *r, const struct route_match *match);
void receipt_get(void *server, struct http_request *r, const struct route_match *match);
void refund_receipt_get(void *server, struct http_request *r, const struct route_match *match);
void balance_get(void *server, struct http_request *r, const struct route_match *match);

#endif
