/* backend.h - one call to one model: whatever the provider speaks, the gateway sees the same few events.
 *
 * A call ends with exactly one on_end, also after backend_cancel(); then it is gone. Usage is the provider's own where
 * it states any (provenance upstream), else counted (one per content chunk) or estimated (bytes / 4). Zero is a value;
 * missing is not zero. Backends know nothing of money or of who is calling. */
#ifndef TOLLGATE_BACKENDS_BACKEND_H
#define TOLLGATE_BACKENDS_BACKEND_H

#include "backends/kind.h"

/* What backend_open() would refuse, told without a server being asked or a name looked up. `option`, set on failure: to which
 * member of the config, by its name in the file, it is due. */
bool backend_check(const struct backend_config *config, const char **option, struct err *err) MUST_USE;
struct backend *backend_open(struct loop *loop, const struct backend_config *config,
                             struct err *err) MUST_USE;
void backend_free(struct backend *b); /* its calls must have ended */
DEFINE_AUTO(backend)
/* Copies `handlers`. Null: it could not even be begun (nothing was sent); ERR_NOT_FOUND: its
 * kind does not serve that dialect. Handlers never run inside. */
struct backend_call *backend_start(struct backend *b, const struct backend_request *request,
                                   const struct backend_handlers *handlers, void *arg,
                                   struct err *err) MUST_USE;
/* Events that were read already may still come after a pause. */
void backend_pause(struct backend_call *call);
void backend_resume(struct backend_call *call);
/* on_end comes later (never inside) with BACKEND_CANCELLED and the usage known so far; no event comes before it. */
void backend_cancel(struct backend_call *call);
/* What is known of the usage while the call runs (upstream's numbers if it stated any already). */
const struct usage *backend_usage(const struct backend_call *call);
bool backend_kind_is_known(const char *kind);
/* Whether backends of that kind can be asked in that dialect, by a translation at need. */
bool backend_kind_serves(const char *kind, enum dialect dialect);

#endif
