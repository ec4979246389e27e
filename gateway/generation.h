/* generation.h - a config that was found good and what comes with it: the certificate, the identity
 * and its secrets. Processes are forked with one and keep it; a reload makes the next. */
#ifndef TOLLGATE_GATEWAY_GENERATION_H
#define TOLLGATE_GATEWAY_GENERATION_H

#include "gateway/installation.h"
#include "gateway/options.h"
#include "lib/net/tls.h"

struct generation {
    unsigned number; /* 1, 2, 3 … */
    const struct options *options;
    const struct installation *installation;
    struct tls_context *tls;
    struct generation_parts *parts; /* what it owns; null: all is borrowed */
};

/* The first, of what the caller has read and keeps until it is freed. */
struct generation *generation_first(const struct options *options,
                                    const struct installation *installation,
                                    struct tls_context *tls) MUST_USE;
/* The one after `before`, of what the config says now. Null: `problems` has a sentence a line, and
 * nothing has changed. Its zone, clock and log level are this process's from then on. */
struct generation *generation_load(const char *config, const struct generation *before,
                                   struct buf *problems) MUST_USE;
void generation_free(struct generation *g);
DEFINE_AUTO(generation)

#endif
