/* backend_choice.h - which backend of a model a call goes to next. A set of backends is one bit for each, in the model's order. */
#ifndef TOLLGATE_GATEWAY_BACKEND_CHOICE_H
#define TOLLGATE_GATEWAY_BACKEND_CHOICE_H

#include "gateway/server.h"

/* Those of `m` that the config has, that were not tried yet, and whose breakers admit a call. When breakers alone leave none,
 * `*wait_ms` is in how long the first may admit one, else 0. */
uint64_t backends_open(const struct server *server, const struct model *m, uint64_t tried,
                       int64_t now_ms, int64_t *wait_ms);
/* The lowest priority number among them, and among equals a draw by weight. Null when the set is empty. */
const struct model_backend *backend_choose(const struct model *m, uint64_t among);
/* Null: the config has none of that name. */
struct served_backend *backend_find(const struct server *server, const char *name);

#endif
