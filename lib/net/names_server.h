/* names_server.h - the process that looks names up for those who must not wait: the other end of names.h.
 *
 * Each lookup is a process of its own, ended after 10 s, so that one that hangs delays no other and a name server's settings
 * are read anew. */
#ifndef TOLLGATE_NET_NAMES_SERVER_H
#define TOLLGATE_NET_NAMES_SERVER_H

#include "lib/net/addr.h"

/* addr_look_up(), or a test's own. */
typedef bool names_look_up(const char *text, struct addr_list *out, struct err *err);

/* Answers whoever connects to `listener`, until a signal ends the process. Blocks; nothing else may run here. Returns only
 * when the listener is of no use: 1. */
int names_serve(int listener, names_look_up *look_up) MUST_USE;

#endif
