/* listeners.h - the sockets that the master opens before it forks: one per worker on the same
 * address, one for the console. */
#ifndef TOLLGATE_GATEWAY_LISTENERS_H
#define TOLLGATE_GATEWAY_LISTENERS_H

#include "lib/net/addr.h"

#define WORKERS_MAX 256

struct listeners {
    size_t count;
    int api[WORKERS_MAX];
    int console;
    char api_address[ADDR_TEXT], console_address[ADDR_TEXT]; /* with the port that was chosen */
};

/* Refuses an address on which another program listens, although SO_REUSEPORT would let both. */
bool listeners_open(const char *api, const char *console, size_t workers, struct listeners *out,
                    struct err *err) MUST_USE;
/* Closes all but the two given ones (-1: none), which a child keeps. */
void listeners_close_others(struct listeners *l, int keep_api, int keep_console);
void listeners_clear(struct listeners *l);
DEFINE_AUTO_CLEAR(listeners)

#endif
