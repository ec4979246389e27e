/* catalogue_load.h - the catalogue as Redis holds it (tg:{m00}:catalogue), read whole into a new snapshot. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_LOAD_H
#define TOLLGATE_GATEWAY_CATALOGUE_LOAD_H

#include "gateway/catalogue.h"
#include "lib/net/redis.h"

/* Exactly one answer, never inside the call. `catalogue` belongs to the receiver; null with err when it could not be read. An object that
 * does not parse is left out and logged: it must not take the others with it. */
typedef void catalogue_on_loaded(void *arg, struct catalogue *catalogue, const struct err *err);
void catalogue_load(struct redis *redis, catalogue_on_loaded *on_loaded, void *arg);

#endif
