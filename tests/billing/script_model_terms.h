/* script_model_terms.h - what accounts and keys are set to, by the records that were booked. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_TERMS_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_TERMS_H

#include "tests/billing/script_model.h"

/* Every operation as Redis keeps it: "create op3 = 7 1791… w-… 12 rpm=60 …", a line each behind `key`. */
void terms_lines(const struct model *m, enum record_kind kind, unsigned subject, const char *key,
                 struct buf *out);

#endif
