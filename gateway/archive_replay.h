/* archive_replay.h - applies to Redis what only the archive holds: writers that have no sound journal directory on this
 * host. One that lives on another host replays its own besides, to no harm: a record is applied once. */
#ifndef TOLLGATE_GATEWAY_ARCHIVE_REPLAY_H
#define TOLLGATE_GATEWAY_ARCHIVE_REPLAY_H

#include "gateway/console_state.h"

struct archive_replay;
/* Called once, never inside archive_replay_start(). `writers`: how many were replayed; one that could not be is logged and
 * passed over. The replay may be freed inside. */
typedef void archive_replay_on_end(void *arg, size_t writers);
/* Goes through the writers one after another. Null when journals or archive can't be read. */
struct archive_replay *archive_replay_start(struct console *c, archive_replay_on_end *on_end,
                                            void *arg, struct err *err) MUST_USE;
/* Cuts it off, if it runs: `on_end` does not come any more. */
void archive_replay_free(struct archive_replay *r);
DEFINE_AUTO(archive_replay)

/* Whether anything was ever recorded, by this host's journals or the archive: then a Redis that knows nothing lost it. */
bool archive_replay_has_history(const struct options *o);

#endif
