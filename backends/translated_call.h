/* translated_call.h - a call in one dialect to a backend that speaks the other: its body, its answer and its errors are translated, its usage
 * is the backend's. An event of the backend's stream is translated when it is whole; so long ones, up to 1 MiB, are kept until then. */
#ifndef TOLLGATE_BACKENDS_TRANSLATED_CALL_H
#define TOLLGATE_BACKENDS_TRANSLATED_CALL_H

#include "backends/kind.h"

/* Whether a backend of this kind can be called so at all, in its own dialect or through a translation. */
bool translation_exists(const struct backend_kind *kind, enum dialect dialect);
/* The promises of backend_start(). What can't be translated is refused with status 400, as a provider would, in a later turn. */
struct backend_call *translated_call_start(struct backend *b, const struct backend_request *request,
                                           const struct backend_handlers *handlers, void *arg,
                                           struct err *err) MUST_USE;

#endif
