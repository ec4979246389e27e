/* client_usage.h - where an account's money went: a month by model and by day, live from Redis. */
#ifndef TOLLGATE_GATEWAY_CLIENT_USAGE_H
#define TOLLGATE_GATEWAY_CLIENT_USAGE_H

#include "gateway/route.h"

/* {"account","period","currencies":[{"currency","calls","amount","models":[{"model","calls",
 * "amount"}],"days":[{"day","calls","amount"}]}]}: of the calls that began in ?period= (the month
 * that runs), days and month being those of the account's zone; refunds are not taken off. The server is the struct console. */
void client_usage_get(void *server, struct http_request *r, const struct route_match *match);

#endif
