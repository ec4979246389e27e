/* rebuild_guard.h - whether partitions may be emptied: not when Redis alone holds somebody's records.
 *
 * What is emptied is filled again from the archive and from journals. This host's journals are read; of a writer elsewhere
 * only its own word shows that its journal is still there, and that word must be written after the guard has asked for it. The
 * journal of a host that is lost answers nothing: what Redis holds of its writers exists once, until `tollgate journal
 * retire` has saved it. */
#ifndef TOLLGATE_GATEWAY_REBUILD_GUARD_H
#define TOLLGATE_GATEWAY_REBUILD_GUARD_H

#include "gateway/console_state.h"

struct rebuild_guard;
struct rebuild_guard *rebuild_guard_new(struct console *console) MUST_USE;
void rebuild_guard_free(struct rebuild_guard *g); /* after Redis's client */
DEFINE_AUTO(rebuild_guard)

/* Called once, also inside rebuild_guard_ask(). `err` null: they may be emptied. ERR_EXISTS: it names the writer, how many
 * records only Redis holds of it, and the remedy. */
typedef void rebuild_guard_on_end(void *arg, const struct err *err);
/* PARTITIONS_ALL of each: what is to be emptied, and what of it a rebuild that was cut off may have emptied in part. Takes
 * some milliseconds; when a writer elsewhere does not answer, PROOF_MS. */
void rebuild_guard_ask(struct rebuild_guard *g, const bool *is_due, const bool *is_begun,
                       rebuild_guard_on_end *on_end, void *arg);
/* Ends it, if it runs: `on_end` does not come any more. */
void rebuild_guard_stop(struct rebuild_guard *g);

#endif
