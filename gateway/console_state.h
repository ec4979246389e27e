/* console_state.h - what the console process has: made by console.c, used by its routes. */
#ifndef TOLLGATE_GATEWAY_CONSOLE_STATE_H
#define TOLLGATE_GATEWAY_CONSOLE_STATE_H

#include "billing/journal.h"
#include "billing/projection.h"
#include "gateway/catalogue.h"
#include "gateway/installation.h"
#include "gateway/keyring.h"
#include "gateway/options.h"

struct console {
    const struct options *options;
    const struct installation *installation;
    struct loop *loop;
    struct redis *redis;
    struct journal *journal;       /* of the console's own changes; null while none can be opened */
    struct projection *projection;
    struct keyring *keyring;
    struct catalogue *catalogue;   /* null until first read */
    struct adoption *adoption;
    int64_t revision;              /* the last one given out */
    int64_t last_request_ms;       /* monotonic */
};

/* A revision higher than any given before, by whatever process: milliseconds of the writer's time. */
int64_t console_revision(struct console *c);

#endif
