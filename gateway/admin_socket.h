/* admin_socket.h - where this host's console listens for its own: HTTP on state/admin.sock. */
#ifndef TOLLGATE_GATEWAY_ADMIN_SOCKET_H
#define TOLLGATE_GATEWAY_ADMIN_SOCKET_H

#include "lib/net/httpc.h"

/* "unix:…"; the caller frees it. */
char *admin_socket_origin(const char *state) MUST_USE;
/* How a worker's loop asks the console, whenever it is there. It is given more time to begin an answer than it takes for itself. */
struct httpc *admin_socket_open(struct loop *loop, const char *state, struct err *err) MUST_USE;

#endif
