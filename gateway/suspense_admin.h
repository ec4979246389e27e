/* suspense_admin.h - what could not be booked: shown with its records, and resolved by a record of its own. Handlers of
 * admin.sock; the server is the struct console.
 *
 * An entry's id is its partition and its name in Redis, ':' for blanks: a17:w-0123456789abcdef:88, a17:currency:acme:USD,
 * a17:refund:req_…:op_…. */
#ifndef TOLLGATE_GATEWAY_SUSPENSE_ADMIN_H
#define TOLLGATE_GATEWAY_SUSPENSE_ADMIN_H

#include "gateway/route.h"

/* {"data":[{"id","reason","detail","record" (absent: the entry is not one record's)}]} */
void suspense_get(void *server, struct http_request *r, const struct route_match *match);
/* {"id","as","by","reason","op"}. `dropped`: it counts nowhere, and never will; not for calls, which the archive counts.
 * `booked`: its cause was removed, so its partition is rebuilt, and the entry must be gone then. */
void suspense_resolve_post(void *server, struct http_request *r, const struct route_match *match);

#endif
