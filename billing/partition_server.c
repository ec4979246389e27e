/* partition_server.c - all keys of a partition are in one slot, so any of them will do. */
#include "billing/partition_server.h"

uint64_t partition_term(const struct redis *redis, struct partition p)
{
    char key[PARTITION_KEY];

    return redis_term(redis, partition_key(p, "state", NULL, key));
}

const char *partition_run_id(const struct redis *redis, struct partition p)
{
    char key[PARTITION_KEY];

    return redis_run_id(redis, partition_key(p, "state", NULL, key));
}

bool partition_is_ready(const struct redis *redis, struct partition p)
{
    return partition_term(redis, p) != 0;
}
