/* rebuild_guard.h - whether partitions may be emptied: not when Redis alone holds somebody's records.
 *
 * What is emptied is filled again from journals and the archive. The journal of a host that is lost is neither, so what
 * Redis holds of its writers above the archive exists once, until `tollgate journal retire` has saved it. */
#ifndef TOLLGATE_GATEWAY_REBUILD_GUARD_H
#define TOLLGATE_GATEWAY_REBUILD_GUARD_H

#include "billing/partition.h"
#include "lib/net/redis.h"

struct guarded;
struct rebuild_guard {
    struct guarded *writers;
    size_t count;
    int64_t latest_ms; /* when Redis heard of any of them last */
};
void rebuild_guard_clear(struct rebuild_guard *g);
DEFINE_AUTO_CLEAR(rebuild_guard)

/* `live` of any partition. */
void rebuild_guard_hear(struct rebuild_guard *g, const struct redis_reply *words);
/* `cursors` of a partition that is to be emptied. */
void rebuild_guard_note(struct rebuild_guard *g, struct partition p,
                        const struct redis_reply *cursors);
/* False: `err` names a writer that was silent, has no sound directory under `journal`, and is in Redis above `archive`. */
bool rebuild_guard_allows(const struct rebuild_guard *g, const char *journal, const char *archive,
                          struct err *err) MUST_USE;

#endif
