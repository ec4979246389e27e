/* key_list.h - all keys, without their secrets. A handler of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_KEY_LIST_H
#define TOLLGATE_GATEWAY_KEY_LIST_H

#include "gateway/route.h"

void keys_get(void *server, struct http_request *r, const struct route_match *match);

#endif
