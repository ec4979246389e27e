/* archive_scan.h - reads the whole archive once for one period: its events, the versions it may
 * name, what every writer did in it and whether its SEAL says the same. */
#ifndef TOLLGATE_BILLING_ARCHIVE_SCAN_H
#define TOLLGATE_BILLING_ARCHIVE_SCAN_H

#include "billing/archive.h"
#include "billing/manifest.h"
#include "billing/reasons.h"
#include "billing/terms.h"

struct archive_scan {
    /* Set by the caller; borrowed. */
    const char *archive;
    const char *installation;
    struct period period;
    struct terms *terms; /* gets every version of prices and contracts, sorted */
    /* Events of the period, in the archive's order. False ends the scan. */
    bool (*on_call)(void *arg, const struct event *e, struct span line, struct err *err);
    void *arg;
    /* Read these writers only up to the segments stated, and no others; null: everything. */
    const struct manifest_writer *covered;
    size_t covered_count;

    /* Filled in. */
    size_t writer_count;
    struct manifest_writer *writers; /* those that had begun by the period's end; by id */
    size_t period_count;
    struct scanned_period {
        struct period period;
        uint64_t events;
    } * periods;             /* in order; what was read of each */
    struct reasons damage;   /* the archive contradicts itself: nothing can be made of it */
    struct reasons unsealed; /* writers whose SEAL of the period is missing */
};
/* Fails when the archive cannot be listed, or on_call did; whatever else is wrong is in
 * `damage`. */
bool archive_scan_run(struct archive_scan *s, struct err *err) MUST_USE;
void archive_scan_clear(struct archive_scan *s);
DEFINE_AUTO_CLEAR(archive_scan)

#endif
