/* refund_admin.h - money given back of a call. A handler of admin.sock; the server is the struct
 * console.
 *
 * One at a time, each after all that this console wrote is applied: so what one decides by is what
 * the one before has done, and together they never pass the call's amount. */
#ifndef TOLLGATE_GATEWAY_REFUND_ADMIN_H
#define TOLLGATE_GATEWAY_REFUND_ADMIN_H

#include "gateway/console_state.h"
#include "gateway/route.h"

/* {"amount"?,"reason","op"}; no amount: all that is left. Answers the refund. */
void refund_post(void *server, struct http_request *r, const struct route_match *match);
/* At the console's end, after its ledger was closed: what still waits is dropped, unwritten. */
void refund_close(struct console *c);

#endif
