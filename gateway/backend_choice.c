/* backend_choice.c - a model has few backends, so every draw walks them all. */
#include "gateway/backend_choice.h"

#include "lib/base/rand.h"

const struct model_backend *backend_choose(const struct model *m, uint64_t *tried)
{
    uint64_t weights = 0, draw;
    int64_t best = INT64_MAX;

    for (size_t i = 0; i < m->backend_count; i++)
        if (!(*tried >> i & 1) && m->backends[i].priority < best)
            best = m->backends[i].priority;
    for (size_t i = 0; i < m->backend_count; i++)
        if (!(*tried >> i & 1) && m->backends[i].priority == best)
            weights += (uint64_t)m->backends[i].weight;
    if (!weights)
        return NULL;
    draw = rand_below(weights);
    for (size_t i = 0; i < m->backend_count; i++) {
        if ((*tried >> i & 1) || m->backends[i].priority != best)
            continue;
        if (draw < (uint64_t)m->backends[i].weight) {
            *tried |= UINT64_C(1) << i;
            return &m->backends[i];
        }
        draw -= (uint64_t)m->backends[i].weight;
    }
    return NULL;
}

struct backend *backend_find(const struct server *server, const char *name)
{
    for (size_t i = 0; i < server->backend_count; i++)
        if (strcmp(server->backends[i].name, name) == 0)
            return server->backends[i].backend;
    return NULL;
}
