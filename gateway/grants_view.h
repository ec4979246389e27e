/* grants_view.h - what of a balance was paid in, and what was granted, as JSON members. */
#ifndef TOLLGATE_GATEWAY_GRANTS_VIEW_H
#define TOLLGATE_GATEWAY_GRANTS_VIEW_H

#include "billing/admission.h"
#include "lib/base/json.h"

/* "paid", "granted", and "grants": those that are not over, in the order in which they are used (the first GRANTS_SHOWN), as
 * [{"grant","amount","left","expires_at"}]. */
void grants_write(struct jw *w, const struct account_state *state);
/* "paid", "granted", and "next_expiry": null, or {"amount","at"} of the grant with something left that ends first. */
void grants_write_next(struct jw *w, const struct account_state *state);

#endif
