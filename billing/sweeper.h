/* sweeper.h - removes holds that nobody renews: their worker died before it could say how the call ended.
 *
 * The console runs one. Every minute it looks at every account that has holds; what two looks found unrenewed goes, its
 * amount is free again, and a warning and a note in Redis (`swept`) say so. That bills nothing; an END that comes later
 * does. */
#ifndef TOLLGATE_BILLING_SWEEPER_H
#define TOLLGATE_BILLING_SWEEPER_H

#include "lib/net/redis.h"

struct sweeper;
struct sweeper_config {
    const char *installation;
    int64_t look_ms; /* 60 000: at least this long between two looks */
};
/* Borrows loop and redis, which must outlive it. */
struct sweeper *sweeper_new(struct loop *loop, struct redis *redis,
                            const struct sweeper_config *config) MUST_USE;
void sweeper_free(struct sweeper *s);
DEFINE_AUTO(sweeper)
/* Holds removed since start. */
uint64_t sweeper_removed(const struct sweeper *s);

#endif
