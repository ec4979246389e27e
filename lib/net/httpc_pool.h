/* httpc_pool.h - an origin's idle connections: the one put back last is taken first. */
#ifndef TOLLGATE_NET_HTTPC_POOL_H
#define TOLLGATE_NET_HTTPC_POOL_H

#include <stddef.h>

struct link;

struct pool {
    struct pooled *first;
    size_t count;
};

/* A connection's place in the pool: part of the connection, so that it costs no memory of its own. */
struct pooled {
    struct link *link;
    struct pooled *next, **at; /* `at` null: it is not in the pool */
};

void pool_put(struct pool *pool, struct pooled *p);
struct link *pool_take(struct pool *pool);             /* null: none */
void pool_remove(struct pool *pool, struct pooled *p); /* does nothing if it is not in the pool */

#endif
