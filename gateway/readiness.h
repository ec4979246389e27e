/* readiness.h - may this worker be sent calls; and has it, or the console, what an answer takes? */
#ifndef TOLLGATE_GATEWAY_READINESS_H
#define TOLLGATE_GATEWAY_READINESS_H

#include "gateway/server.h"

/* Null: ready. Else one clause for /readyz and the log. */
const char *readiness_reason(const struct server *s);
/* False, having answered 503: the catalogue has not been read yet. Whoever looks into it asks this first. */
bool readiness_has_catalogue(const struct ledger *l, struct http_request *r) MUST_USE;

#endif
