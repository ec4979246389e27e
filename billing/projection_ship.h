/* projection_ship.h - from the archive or the journal into batches, and from there to Redis. */
#ifndef TOLLGATE_BILLING_PROJECTION_SHIP_H
#define TOLLGATE_BILLING_PROJECTION_SHIP_H

#include "billing/projection_state.h"

/* Opens the archive, if the journal no longer has all that Redis lacks, or the journal. */
bool ship_begin(struct projection *p, struct err *err) MUST_USE;
/* Forgets what was read and not answered. */
void ship_end(struct projection *p);
/* Of one partition: it forgets what waits to be sent there. */
void ship_leave(struct projection *p, struct lane *l);
/* One turn's work; schedules itself again while there is more. */
void ship_pump(void *arg);
void ship_rested(void *arg); /* the rest between two rounds of sending is over */

#endif
