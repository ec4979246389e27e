/* httpc_pool.h - an origin's idle connections: the one put back last is taken first.
 *
 * Some servers (llama.cpp's) end each connection that carried a stream, soon after its last byte and without having said so. A
 * request that meets that end may have been read, so it can't be sent again. Where a server has done so, connections that carried
 * a stream rest for two seconds before they are used again; the first one that outlives its rest ends that. */
#ifndef TOLLGATE_NET_HTTPC_POOL_H
#define TOLLGATE_NET_HTTPC_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;

struct pool {
    struct pooled *first;
    size_t count;
    bool is_wary; /* the server has ended a connection soon after a stream */
};

/* A connection's place in the pool: part of the connection, so that it costs no memory of its own. */
struct pooled {
    struct link *link;
    struct pooled *next, **at; /* `at` null: it is not in the pool */
    int64_t since_ms;          /* monotonic: when it was put there last */
    bool was_stream;           /* its last reply was chunked */
};

void pool_put(struct pool *pool, struct pooled *p);
struct link *pool_take(struct pool *pool);             /* null: none, or all rest */
void pool_remove(struct pool *pool, struct pooled *p); /* does nothing if it is not in the pool */
/* The server has ended this connection, in the pool or before it said a byte to the next request. */
void pool_note_end(struct pool *pool, const struct pooled *p);

#endif
