/* key_admin.h - keys of accounts and creators: made, listed, limited, revoked. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_KEY_ADMIN_H
#define TOLLGATE_GATEWAY_KEY_ADMIN_H

#include "gateway/route.h"

void key_post(void *server, struct http_request *r, const struct route_match *match);
void keys_get(void *server, struct http_request *r, const struct route_match *match);
void key_limit_post(void *server, struct http_request *r, const struct route_match *match);
void key_revoke_post(void *server, struct http_request *r, const struct route_match *match);

#endif
