/* archive_scan.h - reads of the archive what one period needs: its events, the versions they may
 * name, what every writer did in it and whether its SEAL says the same.
 *
 * By their first lines, segments are passed over that hold no record between a writer's SEAL before
 * the period and that of the period, nor a catalogue or refund record, nor one of money that no call moves. Of what is read, everything is
 * checked. Memory: that of sorted_runs.h and 12 KB, whatever the period's size, and what the terms take. */
#ifndef TOLLGATE_BILLING_ARCHIVE_SCAN_H
#define TOLLGATE_BILLING_ARCHIVE_SCAN_H

#include "billing/archive.h"
#include "billing/funds.h"
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
    /* Every refund of the period and of those before it, in the archive's order; null: none is
     * wanted. Which of them count depends on all of them. */
    void (*on_refund)(void *arg, const struct refund *r, const struct record_head *head,
                      struct span line);
    /* Likewise of money that no call moves; null: none is wanted. */
    void (*on_funds)(void *arg, const struct funds *f, const struct record_head *head);
    void *arg;
    const char *scratch_dir; /* as scratch_file_new() takes it */
    /* Read these writers only up to the segments stated, and no others; null: everything. */
    const struct manifest_writer *covered;
    size_t covered_count;

    /* Filled in. */
    size_t writer_count;
    struct manifest_writer *writers; /* those that had begun by the period's end; by id */
    size_t period_count;
    struct scanned_period {
        struct period period;
        uint64_t events, refunds;
    } * periods;             /* in order; what the archive has of each */
    struct reasons damage;   /* the archive contradicts itself: nothing can be made of it */
    struct reasons unsealed; /* writers whose SEAL of the period is missing */
};
/* Fails when the archive cannot be listed, or on_call did; whatever else is wrong is in
 * `damage`. */
bool archive_scan_run(struct archive_scan *s, struct err *err) MUST_USE;
void archive_scan_clear(struct archive_scan *s);
DEFINE_AUTO_CLEAR(archive_scan)

#endif
