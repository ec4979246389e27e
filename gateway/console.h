/* console.h - the console process: every change that is not a call, free journals, archiving, the
 * admin API. */
#ifndef TOLLGATE_GATEWAY_CONSOLE_H
#define TOLLGATE_GATEWAY_CONSOLE_H

#include "gateway/board.h"
#include "gateway/installation.h"
#include "gateway/options.h"
#include "lib/net/addr.h"
#include "lib/net/tls.h"

struct console_start {
    const struct options *options;
    const struct installation *installation;
    int listen_fd; /* -1: none; else taken over */
    struct tls_context *tls;
    int admin_fd;         /* listening unix socket; taken over */
    struct board *board;  /* null: /metrics is not served */
    const struct addr *names; /* where names are looked up; null: no webhooks are sent */
    bool for_one_command; /* exits after 2 s without a request */
};

/* Runs in the forked child until a SIGTERM's, or SIGHUP's, drain is over; returns the exit code. Its caller holds
 * state/console.lock for it (the master's child, or the command that started it), so that there is
 * never a second one. */
int console_run(const struct console_start *start) MUST_USE;

#endif
