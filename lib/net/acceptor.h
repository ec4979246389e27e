/* acceptor.h - takes connections from a listening socket: a few a turn, so that streams are not starved, and none while the
 * process has no descriptors left. */
#ifndef TOLLGATE_NET_ACCEPTOR_H
#define TOLLGATE_NET_ACCEPTOR_H

#include "lib/base/attr.h"
#include "lib/net/loop.h"

struct acceptor;
/* Takes over `listen_fd`. on_accepted gets a non-blocking, close-on-exec descriptor, which is then its own; it may
 * pause the acceptor but not free it. */
struct acceptor *acceptor_new(struct loop *loop, int listen_fd,
                              void (*on_accepted)(void *arg, int fd), void *arg) MUST_USE;
void acceptor_free(struct acceptor *a); /* closes the listening socket */
DEFINE_AUTO(acceptor)
void acceptor_pause(struct acceptor *a);
void acceptor_resume(struct acceptor *a);

#endif
