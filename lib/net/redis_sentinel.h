/* redis_sentinel.h - where sentinels say that the master is. They are asked once a second and when
 * it is told that something has changed; what one says that is behind the others is not taken. */
#ifndef TOLLGATE_NET_REDIS_SENTINEL_H
#define TOLLGATE_NET_REDIS_SENTINEL_H

#include "lib/net/redis_node.h"

struct redis_sentinel;

/* Either may free it. */
struct redis_sentinel_handlers {
    void (*on_master)(void *arg, const struct redis_place *place); /* another than before */
    void (*on_failed)(void *arg, const struct err *err);           /* nobody says where it is */
};
struct redis_sentinel *redis_sentinel_new(struct redis_setup *setup,
                                          const struct redis_address *address,
                                          const struct redis_sentinel_handlers *handlers, void *arg,
                                          struct err *err) MUST_USE;
void redis_sentinel_free(struct redis_sentinel *s);
void redis_sentinel_hurry(struct redis_sentinel *s);

#endif
