/* script_model_grants.h - grants in the model: which steps take them back, and what calls have used of each, added up anew
 * from the records that were booked. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_GRANTS_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_GRANTS_H

#include "tests/billing/script_model.h"

/* What has been taken back of the account's grants. */
int128 grants_taken(const struct model *m, unsigned account, unsigned currency);
/* An expiry is booked: what was set aside for it is free. */
void reserve_release(struct model *m, const struct fact *expiry);
/* `decided` gets what the answer OK of an expiry says. */
char *model_grants(struct model *m, const struct grants_ask *ask, int64_t now_us,
                   struct fact *decided);
/* Everything under "grants", "expiring" and, of expiries, "booked"; and what of the account is there for them. */
void model_render_grants(const struct model *m, unsigned account, struct buf *out);

#endif
