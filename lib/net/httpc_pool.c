/* httpc_pool.c - a list whose members can be taken out of its middle. */
#include "lib/net/httpc_pool.h"

void pool_put(struct pool *pool, struct pooled *p)
{
    p->at = &pool->first;
    p->next = pool->first;
    if (p->next)
        p->next->at = &p->next;
    pool->first = p;
    pool->count++;
}

struct link *pool_take(struct pool *pool)
{
    struct pooled *p = pool->first;

    if (!p)
        return NULL;
    pool_remove(pool, p);
    return p->link;
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
