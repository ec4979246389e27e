/* finance_routes.h - what finance sees in the console: the settlement months, what stands in each
 * so far or for good, and the files of those that are closed. Changes nothing. The server is the
 * struct console. */
#ifndef TOLLGATE_GATEWAY_FINANCE_ROUTES_H
#define TOLLGATE_GATEWAY_FINANCE_ROUTES_H

#include "gateway/route.h"

/* {"zone","periods":[{"period","state","calls","currencies":[{"currency","gross","refunded"}],
 * "bundle":{"created_at","testing","key_id","writers","statements","files":[{"name","bytes",
 * "sha256"}]}}]}, the newest first. state: open, over, closed. Of a closed one the sums are its
 * manifest's; of any other they are Redis's at this moment, and there is no bundle. */
void finance_periods_get(void *server, struct http_request *r, const struct route_match *match);
/* {"period","statements":[the lines of statements.jsonl]}; 404 unless the period is closed. */
void finance_statements_get(void *server, struct http_request *r, const struct route_match *match);
/* One file of a closed period's bundle, as it was signed. */
void finance_file_get(void *server, struct http_request *r, const struct route_match *match);

#endif
