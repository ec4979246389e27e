/* catalogue_backends.c - a model without a server is found by who applies it or reloads the config, not by who calls it. */
#include "gateway/catalogue_backends.h"

#include <stdlib.h>

#include "backends/backend.h"
#include "gateway/catalogue_parse.h"
#include "lib/base/log.h"

static bool one_serves(const struct options *o, const struct model *m, enum surface s);
static const struct backend_options *find(const struct options *o, const char *name);

bool backends_serve_file(const struct options *o, const json_t *file, struct err *err)
{
    json_t *body;
    size_t i;

    json_array_foreach(json_object_get(file, "models"), i, body)
    {
        const char *id = json_string_value(json_object_get(body, "id"));
        struct model m;
        bool is_good;

        if (!id || !model_parse(id, body, &m, NULL))
            continue;
        is_good = backends_serve(o, &m, err);
        free(m.card_json);
        if (!is_good)
            return false;
    }
    return true;
}

void backends_warn(const struct options *o, const struct catalogue *c)
{
    struct err err;

    for (size_t i = 0; i < catalogue_model_count(c); i++)
        if (!backends_serve(o, catalogue_model_at(c, i), &err))
            log_warn("model_without_backend", "%s; calls of it can fail until that is mended",
                     err.text);
}

bool backends_serve(const struct options *o, const struct model *m, struct err *err)
{
    for (size_t i = 0; i < m->backend_count; i++)
        if (!find(o, m->backends[i].name))
            return err_set(err, ERR_INPUT, "model %s: the config has no backend '%s'", m->id,
                           m->backends[i].name);
    for (enum surface s = 0; s < SURFACES; s++)
        if (model_serves(m, s) && !one_serves(o, m, s))
            return err_set(err, ERR_INPUT,
                           "model %s: none of its backends can serve %s, %s ('%s' is of kind %s)",
                           m->id, surface_row(s)->name, surface_row(s)->path, m->backends[0].name,
                           find(o, m->backends[0].name)->kind);
    return true;
}

static bool one_serves(const struct options *o, const struct model *m, enum surface s)
{
    for (size_t i = 0; i < m->backend_count; i++)
        if (backend_kind_serves(find(o, m->backends[i].name)->kind, surface_row(s)->dialect))
            return true;
    return false;
}

static const struct backend_options *find(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->backend_count; i++)
        if (strcmp(o->backends[i].title, name) == 0)
            return &o->backends[i];
    return NULL;
}
