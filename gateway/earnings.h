/* earnings.h - what a creator has earned in a period so far, by model and by day, live from Redis.
 *
 * The split is done as the settlement does it, once per (model, owners, contract, currency) on the
 * total; days are differences of running splits, so they add up. What was given back in the period
 * restates the months of its calls, as at a close: `refunds` is the creator's part of it. */
#ifndef TOLLGATE_GATEWAY_EARNINGS_H
#define TOLLGATE_GATEWAY_EARNINGS_H

#include "billing/period.h"
#include "lib/base/buf.h"
#include "lib/net/redis.h"

/* {"creator","period","currencies":[{"currency","calls","gross","refunded","earned","refunds","net",
 * "models":[{"model", the same sums}],"days":[{"day","calls","gross","earned"}]}]}; net = earned -
 * refunds. `json` is null on failure; valid during the callback. */
typedef void earnings_on_json(void *arg, const struct buf *json, const struct err *err);
void earnings_read(struct redis *redis, const char *creator, struct period period,
                   earnings_on_json *on_json, void *arg);

#endif
