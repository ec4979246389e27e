/* master.h - the process that opens the sockets, forks console and workers, starts again what dies,
 * and passes the end on. */
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
    const struct options *options;
    const struct installation *installation;
    struct listeners *listeners;
    struct tls_context *tls;
    const struct child_plan *others; /* processes beside workers and console, started first */
    size_t other_count;
};
/* Runs until SIGTERM, SIGINT or SIGHUP and what they stop has ended: 0; or until a task among the
 * others has failed: 1. */
int master_run(const struct master_start *start) MUST_USE;

/* `tollgate serve`: everything from the options on. */
int master_serve(const struct options *options) MUST_USE;

#endif
