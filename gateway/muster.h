/* muster.h - which of a number of new workers have said that they can serve. The master makes one
 * before it forks them; each writes its number into a pipe. */
#ifndef TOLLGATE_GATEWAY_MUSTER_H
#define TOLLGATE_GATEWAY_MUSTER_H

#include "lib/net/loop.h"

struct muster;
/* `on_all` once, when all numbers below `count` have been reported. */
struct muster *muster_new(struct loop *loop, size_t count, void (*on_all)(void *arg), void *arg,
                          struct err *err) MUST_USE;
void muster_free(struct muster *m);
DEFINE_AUTO(muster)

/* In the child: the descriptor to report through, which is its own from now on. */
int muster_join(struct muster *m);
/* Number `number` can serve. */
void muster_report(int fd, unsigned number);

#endif
