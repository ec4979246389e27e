/* webhook_admin.h - webhooks are made, listed, deleted and tried by an operator. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_ADMIN_H
#define TOLLGATE_GATEWAY_WEBHOOK_ADMIN_H

#include "gateway/route.h"

void webhook_post(void *server, struct http_request *r, const struct route_match *match);
void webhooks_get(void *server, struct http_request *r, const struct route_match *match);
void webhook_delete_post(void *server, struct http_request *r, const struct route_match *match);
void webhook_test_post(void *server, struct http_request *r, const struct route_match *match);

#endif
