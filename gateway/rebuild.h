/* rebuild.h - makes Redis what the journals and the archive say, whatever it lost: parked partitions are emptied and filled
 * again by every writer, those that exist only in the archive included.
 *
 * Its progress is kept in Redis (rebuild.lua), so that a console that dies is followed by the next, and two of them do no
 * harm to each other. A partition that is being rebuilt admits nobody until all that is known of was applied. */
#ifndef TOLLGATE_GATEWAY_REBUILD_H
#define TOLLGATE_GATEWAY_REBUILD_H

#include "gateway/console_state.h"

struct rebuild;
struct rebuild *rebuild_new(struct console *console) MUST_USE;
void rebuild_free(struct rebuild *r); /* after Redis's client */
DEFINE_AUTO(rebuild)

struct rebuild_result {
    unsigned emptied; /* partitions */
    size_t archived;  /* writers that were replayed from the archive alone */
};
/* Called once, not inside rebuild_start(); `err` null: done. */
typedef void rebuild_on_end(void *arg, const struct rebuild_result *result, const struct err *err);
/* `from_zero`: all partitions are emptied, not only those that are parked. While one runs, it is joined. */
void rebuild_start(struct rebuild *r, bool from_zero, rebuild_on_end *on_end, void *arg);
/* Empties this partition even though it is not parked, with the next one that is started. */
void rebuild_include(struct rebuild *r, struct partition p);
/* Goes on with one that was cut off. */
void rebuild_redis_ready(struct rebuild *r);
void rebuild_redis_lost(struct rebuild *r);

#endif
