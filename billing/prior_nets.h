/* prior_nets.h - what earlier closes left of the calls that a period gives money back of. */
#ifndef TOLLGATE_BILLING_PRIOR_NETS_H
#define TOLLGATE_BILLING_PRIOR_NETS_H

#include "billing/fact_list.h"
#include "billing/manifest.h"
#include "billing/sum_table.h"

struct prior_sources {
    const char *archive, *installation;
    const struct fact_list
        *facts; /* decided; the records of periods that are not closed are kept */
    /* As struct archive_scan has them. */
    const struct manifest_writer *covered;
    size_t covered_count;
};
/* Sets the nets, by parties_name_of_period(), of all parties of earlier periods that the period's
 * refunds name: as the last close that has the party says, less the refunds booked since in periods
 * that are not closed. Calls of such periods are read from the archive: only a preview has any. */
bool prior_nets_read(const struct prior_sources *s, struct sum_table *nets,
                     struct err *err) MUST_USE;

#endif
