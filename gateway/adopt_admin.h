/* adopt_admin.h - what a found directory of a retired writer has beyond the archive, booked late. A handler of admin.sock; the
 * server is the struct console. */
#ifndef TOLLGATE_GATEWAY_ADOPT_ADMIN_H
#define TOLLGATE_GATEWAY_ADOPT_ADMIN_H

#include "gateway/route.h"

/* {"dir"}: recovers the directory (its open calls end, as after any crash) and books what the archive lacks through the
 * console's journal: calls and refunds in the running period, a call with the period that it belongs to in orig_period;
 * changes as they are, which count once by their operation ids and revisions. A call that is booked already is left
 * out, so asking again is harmless. Answers {"writer","calls","known_calls","changes"}. */
void adopt_post(void *server, struct http_request *r, const struct route_match *match);

#endif
