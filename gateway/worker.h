/* worker.h - a worker process: one loop, one journal directory, the public API. Forked by the
 * master. */
#ifndef TOLLGATE_GATEWAY_WORKER_H
#define TOLLGATE_GATEWAY_WORKER_H

#include "gateway/board.h"
#include "gateway/installation.h"
#include "gateway/options.h"
#include "lib/net/addr.h"
#include "lib/net/tls.h"

struct worker_start {
    const struct options *options;
    const struct installation *installation;
    int listen_fd; /* taken over */
    struct tls_context *tls;
    unsigned slot;            /* 0, 1, 2 … */
    const struct addr *names; /* where names are looked up */
    struct seat *seat;        /* on the board, of this process */
    int ready_fd; /* of muster_join(): it accepts nothing before it can serve, and then says so; -1:
                      it accepts at once, and answers 503 until it can */
};

/* Runs in the forked child until a SIGTERM's drain is over, or a SIGHUP's, after which others serve
 * and every connection may ask once more; returns the exit code (0: drained).
 * Zone, clock offset, log level and process name are set already; signals have their default
 * action. */
int worker_run(const struct worker_start *start) MUST_USE;

#endif
