/* doctor_models.c - whether the config has servers for what the catalogue offers. */
#include "gateway/catalogue_backends.h"
#include "gateway/catalogue_load.h"
#include "gateway/doctor.h"

#define WAIT_MS 1000

struct look {
    struct catalogue *catalogue; /* null: it could not be read */
    bool is_over;
};

static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err);

void doctor_look_at_models(struct doctor *d, struct loop *loop, struct redis *redis)
{
    struct look l = {.is_over = false};
    struct err err;

    catalogue_load(redis, on_catalogue, &l);
    while (!loop_run_until(loop, &l.is_over, WAIT_MS))
        ; /* every command has a deadline of its own */
    for (size_t i = 0; l.catalogue && i < catalogue_model_count(l.catalogue); i++)
        if (!backends_serve(d->options, catalogue_model_at(l.catalogue, i), &err))
            doctor_find(d, "models", HEALTH_UNSAFE,
                        "mend the config and reload, or change the model with `tollgate apply`",
                        "%s", err.text);
    catalogue_free(l.catalogue);
}

/* A Redis that does not answer was found already. */
static void on_catalogue(void *arg, struct catalogue *catalogue, const struct err *err UNUSED)
{
    struct look *l = arg;

    l->catalogue = catalogue;
    l->is_over = true;
}
