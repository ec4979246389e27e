/* journal_recover.h - takes up a directory after whatever happened to its last process. */
#ifndef TOLLGATE_BILLING_JOURNAL_RECOVER_H
#define TOLLGATE_BILLING_JOURNAL_RECOVER_H

#include "billing/journal_log.h"

/* On success `log` is ready to be written to, everything in it is durable, no call is open, and no period before that of `now`
 * lacks its SEAL. In this order: what stands above the last stated sync is rewritten into a new segment and synced, the old one is cut
 * there and sealed; calls without END get one; missing SEALs are written. Cut off anywhere, it comes to the same result when run again.
 * ERR_CORRUPT, naming file and offset: bytes below the last stated sync are not what they were; nothing was changed then. */
bool journal_recover(struct journal_log *log, const struct journal_home *home,
                     uint64_t segment_bytes, int64_t now, struct err *err) MUST_USE;

#endif
