/* script_model_claim.h - in the model, who has an idempotency key, and what was stored of an answer. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_CLAIM_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_CLAIM_H

#include "tests/billing/script_model.h"

#define OTHER_NAME(idem) (((idem) + 1) % IDEMS)
/* Whose the key is, and by which of its names. */
struct barred_by {
    unsigned request, name;
};
/* Null, or the word of a repeated call's answer: CLAIMED, ANSWERED or OTHER_BODY. */
const char *claim_bars(const struct model *m, const struct admit_ask *ask, int64_t now_us,
                       struct barred_by *by);
void claim_place(struct model *m, const struct admit_ask *ask, int64_t now_us);
/* The call that carried the key has ended; true: it was answered and has the key from now on. */
bool claim_end(struct model *m, unsigned account, unsigned key, struct model_claim of,
               int64_t now_us);
void claim_lines(const struct model *m, int64_t now_us, struct buf *out);

#endif
