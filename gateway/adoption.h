/* adoption.h - journal directories that nobody holds: their records are shipped, their open calls resolved, their segments sealed, then they are let go
 * for the next worker. Each is visited once after it was left, after Redis came back as another run, and at a period's end. */
#ifndef TOLLGATE_GATEWAY_ADOPTION_H
#define TOLLGATE_GATEWAY_ADOPTION_H

#include "gateway/console_state.h"

struct adoption *adoption_new(struct console *console) MUST_USE;
void adoption_free(struct adoption *a);
DEFINE_AUTO(adoption)
/* Looks for free directories that need a visit; call it every few seconds and when asked to ship. */
void adoption_look(struct adoption *a);
/* Every free directory needs a visit again. */
void adoption_visit_all(struct adoption *a);
void adoption_redis_ready(struct adoption *a);
void adoption_redis_lost(struct adoption *a);
/* Directories that are being visited, and free ones that still need it. */
size_t adoption_pending(const struct adoption *a);

#endif
