/* changes.h - follows tg:changes, so that caches forget exactly what changed. */
#ifndef TOLLGATE_GATEWAY_CHANGES_H
#define TOLLGATE_GATEWAY_CHANGES_H

#include "lib/base/buf.h"
#include "lib/net/redis.h"

struct changes_handlers {
    void (*on_change)(void *arg, struct span kind, struct span id); /* "key", "account", "catalogue" */
    void (*on_reset)(void *arg); /* something may have been missed: forget everything */
};

/* Has a connection of its own, since it waits in XREAD BLOCK. */
struct changes;
struct changes *changes_new(struct loop *loop, const struct redis_config *config, const struct changes_handlers *handlers, void *arg,
                            struct err *err) MUST_USE;
void changes_free(struct changes *c);
DEFINE_AUTO(changes)

#endif
