/* journal_admin.h - what the journals hold, and waiting until it is shipped, sealed and archived. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_JOURNAL_ADMIN_H
#define TOLLGATE_GATEWAY_JOURNAL_ADMIN_H

#include "gateway/route.h"

/* Both answer with the list of this host's journals once it is done, or 503 with what is still missing after 20 s. */
void journal_ship_post(void *server, struct http_request *r, const struct route_match *match); /* everything written is applied in Redis */
void journal_seal_post(void *server, struct http_request *r, const struct route_match *match); /* every writer sealed, everything archived and applied */
/* Redis becomes what journals and archive say; `?from_zero=1` empties it first. {"emptied" (partitions),"archived_writers"}. */
void journal_rebuild_post(void *server, struct http_request *r, const struct route_match *match);

#endif
