/* redis_prepare.h - what comes before the first command on a new connection: authenticate, learn
 * who answers, and see to it that its AOF was rewritten since it started. */
#ifndef TOLLGATE_NET_REDIS_PREPARE_H
#define TOLLGATE_NET_REDIS_PREPARE_H

#include "lib/base/attr.h"
#include "lib/base/secret.h"
#include "lib/net/redis_link.h"

struct redis_login {
    const char *user;              /* null: the default user */
    const struct secret *password; /* null: none */
    int64_t command_ms;
    bool in_cluster; /* the server must be, or must not be, part of one */
};

/* Exactly one is called, unless the link breaks or it is freed before. */
struct redis_prepare_handlers {
    void (*on_prepared)(void *arg, const char *run_id);
    void (*on_refused)(void *arg, const struct err *err);
};

/* Borrows the link, which must be open, and what `login` points to. */
struct redis_prepare;
struct redis_prepare *redis_prepare_start(struct loop *loop, struct redis_link *link,
                                          const struct redis_login *login,
                                          const struct redis_prepare_handlers *handlers,
                                          void *arg) MUST_USE;
/* After its link was freed, or from on_prepared and on_refused. */
void redis_prepare_free(struct redis_prepare *p);
DEFINE_AUTO(redis_prepare)

#endif
