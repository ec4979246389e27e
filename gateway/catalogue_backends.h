/* catalogue_backends.h - whether the config's backends can serve what the models promise. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_BACKENDS_H
#define TOLLGATE_GATEWAY_CATALOGUE_BACKENDS_H

#include "gateway/catalogue.h"
#include "gateway/options.h"

/* Of a catalogue file's models: all their backends are in the config, and each surface is served by one at least; else ERR_INPUT. What the
 * file states wrongly otherwise is left to the catalogue's own reader. */
bool backends_serve_file(const struct options *o, const json_t *file, struct err *err) MUST_USE;
/* The same of models that can be called: one warning in the log for each that does not hold. */
void backends_warn(const struct options *o, const struct catalogue *c);

#endif
