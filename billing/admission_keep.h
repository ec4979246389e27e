/* admission_keep.h - keeps placed holds alive in Redis, and makes released ones go. */
#ifndef TOLLGATE_BILLING_ADMISSION_KEEP_H
#define TOLLGATE_BILLING_ADMISSION_KEEP_H

#include "billing/admission_state.h"

void keep_begin(struct admission *a, struct loop *loop);
void keep_end(struct admission *a);
/* The hold's entry must go, wherever its admit is by now. The hold itself may be freed. */
void keep_release(const struct hold *h);

#endif
