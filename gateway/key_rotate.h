/* key_rotate.h - a key takes another's place. The new one has the same owner, limits and budgets, and opens the same; the
 * old one ends after a grace, and both count as one in rates and budgets. A handler of admin.sock; the server is the
 * struct console.
 *
 * All of it is one record, so it is there or not, and nothing between. */
#ifndef TOLLGATE_GATEWAY_KEY_ROTATE_H
#define TOLLGATE_GATEWAY_KEY_ROTATE_H

#include "gateway/route.h"

void key_rotate_post(void *server, struct http_request *r, const struct route_match *match);

#endif
