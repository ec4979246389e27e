/* catalogue_backends.h - whether the config's backends can serve what the models promise. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_BACKENDS_H
#define TOLLGATE_GATEWAY_CATALOGUE_BACKENDS_H

#include "gateway/catalogue.h"
#include "gateway/options.h"

/* All its backends are in the config, and each of its surfaces is served by one at least; else ERR_INPUT. */
bool backends_serve(const struct options *o, const struct model *m, struct err *err) MUST_USE;
/* The same of all models of a catalogue file. What it states wrongly otherwise is left to the catalogue's own reader. */
bool backends_serve_file(const struct options *o, const json_t *file, struct err *err) MUST_USE;
/* The same of models that can be called: one warning in the log for each that does not hold. */
void backends_warn(const struct options *o, const struct catalogue *c);

#endif
