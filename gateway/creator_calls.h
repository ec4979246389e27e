/* creator_calls.h - the latest calls of a creator's models, live from Redis: what a creator may see
 * of them, which is everything but who called. */
#ifndef TOLLGATE_GATEWAY_CREATOR_CALLS_H
#define TOLLGATE_GATEWAY_CREATOR_CALLS_H

#include "gateway/route.h"

/* {"object":"list","data":[{"object":"call","request_id","client","model","units","provenance",
 * "amount","currency","outcome","ended_at","period"}],"has_more"}, the newest first, some 200 of each model; what is older
 * stands in the bundles of closed months. `client` is a pseudonym, the same for all calls that one
 * account makes to this creator's models, and another for each creator. ?limit=N (1 to 1000, 20)
 * &before=REQUEST_ID. The server is the struct console. */
void creator_events_get(void *server, struct http_request *r, const struct route_match *match);

#endif
