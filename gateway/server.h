/* server.h - what one worker process has: made by worker.c, used by its routes. It outlives every connection and request. */
#ifndef TOLLGATE_GATEWAY_SERVER_H
#define TOLLGATE_GATEWAY_SERVER_H

#include "backends/backend.h"
#include "backends/breaker.h"
#include "billing/admission.h"
#include "gateway/history.h"
#include "gateway/ledger.h"

struct served_backend {
    const char *name;
    struct backend *backend;
    struct breaker breaker;
};

struct server {
    const struct options *options;
    const struct installation *installation;
    struct loop *loop;
    struct ledger ledger;
    struct offline *offline;     /* what goes on while Redis is away */
    struct admission *admission; /* null while there is no journal: calls get 503 */
    struct past_client *past_client;
    struct history history;   /* by that client */
    struct paid_calls *calls; /* likewise */
    struct names *names;      /* looked up by another process */
    struct served_backend *backends;
    size_t backend_count;
    bool draining;
};

#endif
