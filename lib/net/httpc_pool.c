/* httpc_pool.c - a list whose members can be taken out of its middle. */
#include "lib/net/httpc_pool.h"

#include "lib/base/clock.h"

#define REST_MS 2000 /* a connection that ends later was idle for too long */

static bool may_be_taken(const struct pool *pool, const struct pooled *p, int64_t now_ms);

void pool_put(struct pool *pool, struct pooled *p)
{
    p->since_ms = clock_monotonic_ms();
    p->at = &pool->first;
    p->next = pool->first;
    if (p->next)
        p->next->at = &p->next;
    pool->first = p;
    pool->count++;
}

struct link *pool_take(struct pool *pool)
{
    int64_t now_ms = pool->is_wary ? clock_monotonic_ms() : 0;
    struct pooled *p = pool->first;

    while (p && !may_be_taken(pool, p, now_ms))
        p = p->next;
    if (!p)
        return NULL;
    pool->is_wary = pool->is_wary && !p->was_stream;
    pool_remove(pool, p);
    return p->link;
}

static bool may_be_taken(const struct pool *pool, const struct pooled *p, int64_t now_ms)
{
    return !pool->is_wary || !p->was_stream || now_ms - p->since_ms >= REST_MS;
}

void pool_remove(struct pool *pool, struct pooled *p)
{
    if (!p->at)
        return;
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    p->next = NULL;
    p->at = NULL;
    pool->count--;
}

void pool_note_end(struct pool *pool, const struct pooled *p)
{
    if (p->was_stream && clock_monotonic_ms() - p->since_ms < REST_MS)
        pool->is_wary = true;
}
