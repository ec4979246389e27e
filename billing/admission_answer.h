/* admission_answer.h - what admit.lua answers, read. */
#ifndef TOLLGATE_BILLING_ADMISSION_ANSWER_H
#define TOLLGATE_BILLING_ADMISSION_ANSWER_H

#include "billing/admission.h"

/* A word that is not known is VERDICT_UNAVAILABLE. */
void admission_answer_read(const struct redis_reply *reply, struct admission_answer *answer);
/* False when the script did not come as far as to look at the account. */
bool admission_answer_mode(const struct redis_reply *reply, bool *is_postpaid) MUST_USE;

#endif
