/* funds_admin.h - top-ups of accounts, grants, and adjustments of their balances. Handlers of admin.sock; the server is the struct
 * console. Those of one account take turns (turn.h); an operation id counts once, whichever of them it was for. */
#ifndef TOLLGATE_GATEWAY_FUNDS_ADMIN_H
#define TOLLGATE_GATEWAY_FUNDS_ADMIN_H

#include "gateway/route.h"

/* {"amount","reason"?,"op"}; the amount may be negative. Answers what was booked. */
void credit_post(void *server, struct http_request *r, const struct route_match *match);
/* {"amount","expires_at","reason"?,"op"}: above zero, and a time to come. */
void grant_post(void *server, struct http_request *r, const struct route_match *match);
/* {"amount","reason","op"} */
void adjust_post(void *server, struct http_request *r, const struct route_match *match);

#endif
