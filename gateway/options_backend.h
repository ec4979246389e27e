/* options_backend.h - how a backend is reached, as the config says: the same for who checks it and for every worker. */
#ifndef TOLLGATE_GATEWAY_OPTIONS_BACKEND_H
#define TOLLGATE_GATEWAY_OPTIONS_BACKEND_H

#include "backends/backend.h"
#include "gateway/options.h"

struct options_backend {
    struct secret key;
    struct backend_config config; /* points to the key and into the options; its names are the caller's to set */
};

/* Reads the key's file. It must not be moved in memory afterwards. */
bool options_backend_read(struct options_backend *s, const struct options *o,
                           const struct backend_options *b, struct err *err) MUST_USE;
void options_backend_clear(struct options_backend *s);
DEFINE_AUTO_CLEAR(options_backend)

#endif
