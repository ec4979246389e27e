/* refund_admin.h - money given back of a call. A handler of admin.sock; the server is the struct
 * console. Those of one call take turns (turn.h), so together they never pass its amount. */
#ifndef TOLLGATE_GATEWAY_REFUND_ADMIN_H
#define TOLLGATE_GATEWAY_REFUND_ADMIN_H

#include "gateway/route.h"

/* {"amount"?,"reason","op"}; no amount: all that is left. Answers the refund. */
void refund_post(void *server, struct http_request *r, const struct route_match *match);

#endif
