/* retire_admin.h - the end of a writer whose host is lost. A handler of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_RETIRE_ADMIN_H
#define TOLLGATE_GATEWAY_RETIRE_ADMIN_H

#include "gateway/route.h"

/* {"writer","reason","by"}: proposes, or, by another person, confirms, saves what Redis holds of it, seals, rebuilds the
 * partitions that had applied a lost record, and frees the idempotency keys of calls that it left open. Answers {"writer","state":proposed|retired,"reason","proposed_by","proposed_at"}
 * and, once it is retired, "record": its retire record. */
void retire_post(void *server, struct http_request *r, const struct route_match *match);

#endif
