/* projection_cursors.h - reads how far Redis has this writer in every partition. */
#ifndef TOLLGATE_BILLING_PROJECTION_CURSORS_H
#define TOLLGATE_BILLING_PROJECTION_CURSORS_H

#include "billing/projection_state.h"

/* All of them, from which shipping then goes on; projection_cursors_read() follows. */
void cursors_read(struct projection *p);
/* Once a minute: that Redis still has what it said it applied, and whether a parked partition was rebuilt. */
void cursors_check(struct projection *p);

#endif
