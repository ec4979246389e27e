/* readiness.h - may this worker be sent calls? */
#ifndef TOLLGATE_GATEWAY_READINESS_H
#define TOLLGATE_GATEWAY_READINESS_H

#include "gateway/server.h"

/* Null: ready. Else one clause for /readyz and the log. */
const char *readiness_reason(const struct server *s);
/* False: the catalogue has not been read yet, and the request was told so. */
bool readiness_has_catalogue(const struct server *s, struct http_request *r);

#endif
