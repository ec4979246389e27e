/* backend_choice.c - a model has few backends, so every draw walks them all. */
#include "gateway/backend_choice.h"

#include "lib/base/rand.h"

uint64_t backends_open(const struct server *server, const struct model *m, uint64_t tried,
                       int64_t now_ms, int64_t *wait_ms)
{
    uint64_t open = 0;
    int64_t soonest = INT64_MAX;

    for (size_t i = 0; i < m->backend_count; i++) {
        const struct served_backend *served = backend_find(server, m->backends[i].name);
        int64_t wait;

        if (!served || (tried >> i & 1))
            continue;
        if (breaker_admits(&served->breaker, now_ms, &wait))
            open |= UINT64_C(1) << i;
        else if (wait < soonest)
            soonest = wait;
    }
    *wait_ms = open || soonest == INT64_MAX ? 0 : soonest;
    return open;
}

const struct model_backend *backend_choose(const struct model *m, uint64_t among)
{
    uint64_t weights = 0, draw;
    int64_t best = INT64_MAX;

    for (size_t i = 0; i < m->backend_count; i++)
        if ((among >> i & 1) && m->backends[i].priority < best)
            best = m->backends[i].priority;
    for (size_t i = 0; i < m->backend_count; i++)
        if ((among >> i & 1) && m->backends[i].priority == best)
            weights += (uint64_t)m->backends[i].weight;
    if (!weights)
        return NULL;
    draw = rand_below(weights);
    for (size_t i = 0; i < m->backend_count; i++) {
        if (!(among >> i & 1) || m->backends[i].priority != best)
            continue;
        if (draw < (uint64_t)m->backends[i].weight)
            return &m->backends[i];
        draw -= (uint64_t)m->backends[i].weight;
    }
    return NULL;
}

struct served_backend *backend_find(const struct server *server, const char *name)
{
    for (size_t i = 0; i < server->backend_count; i++)
        if (strcmp(server->backends[i].name, name) == 0)
            return &server->backends[i];
    return NULL;
}
