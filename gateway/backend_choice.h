/* backend_choice.h - which backend of a model a call goes to next. */
#ifndef TOLLGATE_GATEWAY_BACKEND_CHOICE_H
#define TOLLGATE_GATEWAY_BACKEND_CHOICE_H

#include "gateway/server.h"

/* Among those not tried yet: the lowest priority number, and among equals a draw by weight. Sets its bit in `*tried`; null when
 * none is left. */
const struct model_backend *backend_choose(const struct model *m, uint64_t *tried);
/* Null: the config has none of that name. */
struct backend *backend_find(const struct server *server, const char *name);

#endif
