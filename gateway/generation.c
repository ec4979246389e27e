/* generation.c - everything is read anew, and nothing is taken over unless all of it is good. */
#include "gateway/generation.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"

struct generation_parts {
    struct options options;
    struct installation installation;
};

static bool load(struct generation *g, const char *config, const struct options *before,
                 struct buf *problems);

struct generation *generation_first(const struct options *options,
                                    const struct installation *installation,
                                    struct tls_context *tls)
{
    struct generation *g = xcalloc(1, sizeof *g);

    *g = (struct generation){1, options, installation, tls, NULL};
    return g;
}

struct generation *generation_load(const char *config, const struct generation *before,
                                   struct buf *problems)
{
    AUTO(generation) g = xcalloc(1, sizeof *g);

    g->number = before->number + 1;
    g->parts = xcalloc(1, sizeof *g->parts);
    g->options = &g->parts->options;
    g->installation = &g->parts->installation;
    if (load(g, config, before->options, problems))
        return KEEP(g);
    if (!options_take_effect(before->options, NULL))
        assert(!"the zone in force is known");
    return NULL;
}

static bool load(struct generation *g, const char *config, const struct options *before,
                 struct buf *problems)
{
    struct options *o = &g->parts->options;
    struct err err;

    if (!options_reload(config, before, o, problems))
        return false;
    g->tls = tls_server_new(o->certificate, o->certificate_key, &err);
    if (g->tls && installation_open(o->state, o->archive, o->zone, &g->parts->installation, &err) &&
        options_take_effect(o, &err))
        return true;
    buf_printf(problems, "%s: %s\n", config, err.text);
    return false;
}

void generation_free(struct generation *g)
{
    if (!g)
        return;
    if (g->parts) {
        options_clear(&g->parts->options);
        installation_clear(&g->parts->installation);
        tls_context_free(g->tls);
        free(g->parts);
    }
    free(g);
}
