/* master.h - the process that opens the sockets, forks console and workers, starts again what dies,
 * puts new ones in place of the old when the config has changed, and passes the end on. */
#ifndef TOLLGATE_GATEWAY_MASTER_H
#define TOLLGATE_GATEWAY_MASTER_H

#include "gateway/children.h"
#include "gateway/installation.h"
#include "gateway/listeners.h"
#include "gateway/options.h"
#include "lib/base/file.h"
#include "lib/net/tls.h"

/* state/master.lock: no two masters on the same state. */
struct file_lock *master_lock(const char *state, struct err *err) MUST_USE;

/* Ranks of what the master runs: stopped in this order. */
enum master_rank { RANK_TASKS, RANK_WORKERS, RANK_CONSOLE, RANK_STORES };

struct master_start {
    const char *config; /* read again at SIGHUP; null: SIGHUP stops */
    const struct options *options;
    const struct installation *installation;
    struct listeners *listeners;
    struct tls_context *tls;
    const struct child_plan *others; /* processes beside workers and console, started first */
    size_t other_count;
};
/* Runs until SIGTERM or SIGINT and what they stop has ended: 0; or until a task among the others has
 * failed: 1. */
int master_run(const struct master_start *start) MUST_USE;

/* `tollgate serve`: everything from the options, read from `config`, on. */
int master_serve(const char *config, const struct options *options) MUST_USE;

#endif
