/* archive_retire.h - the last segment of a writer that was retired (retirement.h): what Redis holds of it above its archive.
 *
 * After the records that were saved come, in the same file, {"kind":"retire","writer","reason","proposed_by","proposed_at","by","at",
 * "saved","lost_records","lost":[["m05",10,12],…],"open_calls","open":[{"request_id","account"}]} and the SEALs that the writer
 * did not live to write, up to the period in which it was retired; later periods ask none of it.
 *
 * `lost`: numbers that Redis has applied, or whose followers it has, while nobody holds the record. Each stands in the segment as a
 * record of kind `lost` that has its number, so that numbers stay dense; a partition that had applied one must be
 * rebuilt, for what it booked of it is in no archive. `open`: calls whose END is not known: their holds stand,
 * or the sweeper noted that it removed them; at most RETIRED_CALLS_NAMED of them are named. What the writer never shipped leaves
 * no other trace. */
#ifndef TOLLGATE_BILLING_ARCHIVE_RETIRE_H
#define TOLLGATE_BILLING_ARCHIVE_RETIRE_H

#include "billing/retirement.h"
#include "billing/unended_calls.h"

#define RETIRED_CALLS_NAMED 200

/* What was found of the writer; borrowed. */
struct retired_findings {
    struct record_heads cursors; /* Redis's */
    struct span *lines;          /* its records, in any order, also twice, also archived ones */
    size_t line_count;
    struct retired_call
        *calls; /* whose holds stand, or were swept: also twice, also such as have ended */
    size_t call_count;
};

struct retired_result {
    bool was_done; /* earlier: saved and lost are zero */
    uint64_t saved, lost;
    bool is_lost[SIDES][PARTITIONS]; /* a record of this partition */
};
/* Writes the segment, once: ERR_CORRUPT when archive and Redis contradict each other. Blocking. */
bool archive_retire(const char *archive, const struct retirement *r,
                    const struct retired_findings *found, struct retired_result *out,
                    struct err *err) MUST_USE;
/* Whether that was done. False also when it can't be read. */
bool archive_is_retired(const char *archive, const char *writer) MUST_USE;
/* Appends the retire record. ERR_NOT_FOUND when there is none. */
bool archive_retire_record(const char *archive, const char *writer, struct buf *out,
                           struct err *err) MUST_USE;
/* What the archive has of the writer by now. */
bool archive_heads(const char *archive, const char *writer, struct record_heads *out,
                   struct err *err) MUST_USE;

#endif
