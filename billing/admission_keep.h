/* admission_keep.h - keeps placed holds alive in Redis, and makes released ones go. */
#ifndef TOLLGATE_BILLING_ADMISSION_KEEP_H
#define TOLLGATE_BILLING_ADMISSION_KEEP_H

#include "billing/admission_state.h"

void keep_begin(struct admission *a, struct loop *loop);
void keep_end(struct admission *a);
/* Asks whether the hold's claim stands, and puts it again when it was lost. */
void keep_ask_claim(struct hold *h);
/* The hold's entry must go, wherever its admit is by now. The hold itself may be freed. */
void keep_release(const struct hold *h);

#endif
