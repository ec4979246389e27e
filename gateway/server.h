/* server.h - what one worker process has: made by worker.c, used by its routes. It outlives every connection and request. */
#ifndef TOLLGATE_GATEWAY_SERVER_H
#define TOLLGATE_GATEWAY_SERVER_H

#include "backends/backend.h"
#include "billing/admission.h"
#include "billing/journal.h"
#include "billing/projection.h"
#include "gateway/catalogue.h"
#include "gateway/installation.h"
#include "gateway/keyring.h"
#include "gateway/options.h"

struct served_backend {
    const char *name;
    struct backend *backend;
};

struct server {
    const struct options *options;
    const struct installation *installation;
    struct loop *loop;
    struct redis *redis;
    struct journal *journal;       /* null: no directory could be taken; calls get 503 */
    struct projection *projection;
    struct admission *admission;
    struct keyring *keyring;
    struct catalogue *catalogue;   /* the present snapshot; null until first loaded */
    struct served_backend *backends;
    size_t backend_count;
    struct paid_calls *calls;      /* null while there is no journal */
    bool draining;
};

#endif
