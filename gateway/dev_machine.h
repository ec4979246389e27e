/* dev_machine.h - what `tollgate dev` knows of the machine that it brings up: paths, addresses, and
 * what is kept. */
#ifndef TOLLGATE_GATEWAY_DEV_MACHINE_H
#define TOLLGATE_GATEWAY_DEV_MACHINE_H

#include "gateway/dev_state.h"
#include "gateway/installation.h"
#include "gateway/listeners.h"

struct dev_machine {
    char *dir; /* absolute */
    char *config, *ca, *redis_dir, *redis_socket, *upstream_key;
    struct listeners listeners;
    struct dev_state state;
    struct installation installation;
};

#endif
