/* redis_link.h - one connection to one Redis: commands out, replies back in the same order, each by
 * its deadline. It neither reconnects nor knows what may be sent; redis.h does. */
#ifndef TOLLGATE_NET_REDIS_LINK_H
#define TOLLGATE_NET_REDIS_LINK_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/loop.h"
#include "lib/net/redis.h"
#include "lib/net/stream.h"

struct redis_link;

/* At most one call of each. on_broken comes behind the callbacks of everything that was pending,
 * which get ERR_TIMEOUT: whether it was done is unknown. */
struct redis_link_handlers {
    void (*on_open)(void *arg);
    void (*on_broken)(void *arg, const struct err *err);
};

struct redis_link_peer {
    struct stream_peer stream;
    int64_t connect_ms;
};
struct redis_link *redis_link_open(struct loop *loop, const struct redis_link_peer *peer,
                                   const struct redis_link_handlers *handlers, void *arg,
                                   struct err *err) MUST_USE;
/* Callbacks of what is pending run with `why` first. Allowed inside any callback. */
void redis_link_free(struct redis_link *l, const struct err *why);

/* `command` is encoded (redis_encode); it is copied. It must be answered by `due_ms` of the
 * monotonic clock, but never times out before those sent ahead of it. */
void redis_link_send(struct redis_link *l, struct span command, int64_t due_ms,
                     redis_on_reply *on_reply, void *arg);
uint64_t redis_link_sent(const struct redis_link *l); /* how many commands so far */
size_t redis_link_pending(const struct redis_link *l);
size_t redis_link_queued(const struct redis_link *l); /* bytes that the socket has not taken yet */
bool redis_link_is_broken(const struct redis_link *l);

/* Appends one command in the form that Redis reads. */
#define REDIS_FRAMING_MAX 32 /* what the protocol puts around an argument, at most */
void redis_encode_start(struct buf *out, size_t argc);
void redis_encode_arg(struct buf *out, struct span arg);
void redis_encode(struct buf *out, const struct span *argv, size_t argc);

#endif
