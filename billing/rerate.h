/* rerate.h - a period's archived events, rated once more by the price versions that they name. An event's amount depends
 * on its own units and versions alone, so nothing may come out differently.
 *
 * It reads the archive alone, twice: what prices there are, then the events. Memory: that of archive_scan.h and a row a model. */
#ifndef TOLLGATE_BILLING_RERATE_H
#define TOLLGATE_BILLING_RERATE_H

#include "billing/period.h"
#include "billing/reasons.h"
#include "billing/sum_table.h"

struct rerate {
    struct sum_table *booked;  /* "model currency" → as booked, and how many events */
    struct sum_table *rerated; /* the same names → as rated now; `calls`: those that differ */
    struct reasons differences; /* one sentence an event: what it states, what comes out */
};
void rerate_clear(struct rerate *r);
DEFINE_AUTO_CLEAR(rerate)

/* False: the archive can't be read, or is damaged. Rows stand in the order of their names. */
bool rerate_period(const char *archive, const char *installation, struct period period,
                   struct rerate *out, struct err *err) MUST_USE;
/* {"model","currency","events","amount","rerated","difference","different"} for each row, one a line. */
void rerate_write(const struct rerate *r, size_t row, struct jw *w);

#endif
