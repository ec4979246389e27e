/* fence.h - what partitions know of writers that were retired (scripts/retired.lua): that nothing which their processes still
 * send is booked, and, once all that was saved of one has been applied, that the calls which it left open are over.
 *
 * A fence stands in all partitions before anybody reads what Redis holds of its writer, so nothing can be applied behind the
 * last segment. All of this may be asked again, to no harm. */
#ifndef TOLLGATE_GATEWAY_FENCE_H
#define TOLLGATE_GATEWAY_FENCE_H

#include "gateway/console_state.h"

/* `err`: some partitions were not told. Called once, not inside the function that asks. */
typedef void fence_on_end(void *arg, const struct err *err);
/* Fences one writer off, in parked partitions too. */
void fence_set(struct console *c, const char *writer, fence_on_end *on_end, void *arg);
/* Frees the idempotency keys of calls that it left open, where `heads` (what the archive has of it, its last segment included)
 * are applied. */
void fence_end_claims(struct console *c, const char *writer, const struct record_heads *heads,
                      fence_on_end *on_end, void *arg);
/* Puts the fences of all retired writers back, as Redis may have lost them; what fails is logged. Whatever this process sends
 * to a partition afterwards finds them there. */
void fence_restore(struct console *c);

#endif
