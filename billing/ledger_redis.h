/* ledger_redis.h - reads a period's sums from Redis: debits:<period> of all account partitions,
 * gross:<period> of all model partitions, what refunded has of the period in both, and booked in account partitions, every suspense, the server's time. Runs the loop until
 * all is read. */
#ifndef TOLLGATE_BILLING_LEDGER_REDIS_H
#define TOLLGATE_BILLING_LEDGER_REDIS_H

#include "billing/ledger_sums.h"
#include "lib/net/redis.h"

/* For settlement_sources.read_ledger, with `arg` a struct ledger_redis. */
struct ledger_redis {
    struct loop *loop;
    struct redis *redis;
    int64_t timeout_ms; /* for it to become ready, and for each answer */
};
bool ledger_redis_read(void *arg, struct period p, struct ledger_sums *out,
                       struct err *err) MUST_USE;

#endif
