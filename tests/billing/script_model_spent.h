/* script_model_spent.h - what was spent by day and month, in the model: added up anew from the calls that were booked. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_SPENT_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_SPENT_H

#include "tests/billing/script_model.h"

/* Everything under "spent", a line a sum. */
void model_render_spent(const struct model *m, struct buf *out);
/* Whether a budget does not cover the call: which, and what is left of it, is added to `out` unless that is null. */
bool budget_over(const struct model *m, const struct admit_ask *ask, struct buf *out);

#endif
