/* partition_server.h - the server that a partition's keys are at: with Cluster, one of several. */
#ifndef TOLLGATE_BILLING_PARTITION_SERVER_H
#define TOLLGATE_BILLING_PARTITION_SERVER_H

#include "billing/partition.h"
#include "lib/net/redis.h"

/* As redis_term() and redis_run_id() of any of its keys. */
uint64_t partition_term(const struct redis *redis, struct partition p);
const char *partition_run_id(const struct redis *redis, struct partition p);
bool partition_is_ready(const struct redis *redis, struct partition p);

#endif
