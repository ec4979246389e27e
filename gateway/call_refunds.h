/* call_refunds.h - what was given back of one call, as Redis has it. */
#ifndef TOLLGATE_GATEWAY_CALL_REFUNDS_H
#define TOLLGATE_GATEWAY_CALL_REFUNDS_H

#include "billing/refund_set.h"
#include "lib/net/redis.h"

/* Every refund of the call with its record, decided; of one operation only the first. `refunds` is
 * null on failure; valid during the callback. */
typedef void call_refunds_on_read(void *arg, const struct refund_set *refunds,
                                  const struct err *err);
void call_refunds_read(struct redis *redis, const char *account, const char *request_id,
                       call_refunds_on_read *on_read, void *arg);

/* Null when there is none of that operation. */
const struct refund_entry *call_refunds_find(const struct refund_set *refunds, const char *op);
int64_t call_refunds_total(const struct refund_set *refunds); /* of those that count */
/* The members "refunded" and "refunds":[{"op","amount","reason","period","at"}] of an object that
 * the caller has begun: those that count, and nothing when none does. */
void call_refunds_write(const struct refund_set *refunds, struct jw *w);

#endif
