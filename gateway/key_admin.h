/* key_admin.h - keys of accounts and creators: made, changed, revoked. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_KEY_ADMIN_H
#define TOLLGATE_GATEWAY_KEY_ADMIN_H

#include "billing/event.h"
#include "gateway/route.h"

/* Of the path. False, having answered 404: it is no public id. */
bool key_id_read(struct http_request *r, const char *text, char public_id[KEY_ID_PUBLIC]) MUST_USE;

void key_post(void *server, struct http_request *r, const struct route_match *match);
void key_limit_post(void *server, struct http_request *r, const struct route_match *match);
void key_update_post(void *server, struct http_request *r, const struct route_match *match);
/* The same secret under the pepper in use, from who was shown it (key_mover.h). */
void key_hash_post(void *server, struct http_request *r, const struct route_match *match);
void key_revoke_post(void *server, struct http_request *r, const struct route_match *match);

#endif
