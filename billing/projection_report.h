/* projection_report.h - tells partitions how far they must have this writer, so that they admit only when they do. */
#ifndef TOLLGATE_BILLING_PROJECTION_REPORT_H
#define TOLLGATE_BILLING_PROJECTION_REPORT_H

#include "billing/projection_state.h"

/* What still has to be said: that partitions are behind while we replay; after that, that we are back, until each of them
 * admits; and parked ones are asked whether they still are. `all`: to those that admit too, so that we count as alive. One round at a time. */
void reports_send(struct projection *p, bool all);
/* Says that we come, and up to which record: from then on the partition waits for us. Before any hold is put there. */
void report_coming(struct projection *p, struct lane *l, redis_on_reply *on_reply);

#endif
