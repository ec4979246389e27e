/* trimmer.h - takes out of Redis's streams what the archive holds, so that Redis grows with the
 * recent calls and not with all of them.
 *
 * From a stream's old end an entry goes when its record stands at or below the archived heads of
 * its writer, it has been there for keep_ms, and keep_entries newer ones are left. With a call goes
 * its place in `index`. Nothing that is not archived ever goes: it is what a lost host is completed
 * from. A step takes at most 1024 entries of one stream, in one script (trim.lua) that does nothing
 * when another console was faster. */
#ifndef TOLLGATE_BILLING_TRIMMER_H
#define TOLLGATE_BILLING_TRIMMER_H

#include "billing/archive_index.h"
#include "lib/net/redis.h"

struct trimmer_config {
    int64_t keep_ms;      /* by Redis's clock */
    int64_t keep_entries; /* of each stream */
    /* Between two passes over all streams; a tenth of it when one took something. */
    int64_t rest_ms;
};
/* Borrows all. Refreshes the index before each pass. */
struct trimmer *trimmer_new(struct loop *loop, struct redis *redis, struct archive_index *index,
                            const struct trimmer_config *config) MUST_USE;
void trimmer_free(struct trimmer *t);
DEFINE_AUTO(trimmer)
uint64_t trimmer_passes(const struct trimmer *t); /* that went over all streams */

#endif
