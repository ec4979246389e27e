/* linger.h - the clean end of a connection: what is queued, close_notify and FIN, then reading
 * until the peer closed too. Closing at once while the peer still sends would answer it with a
 * reset, which may overtake our last bytes. */
#ifndef TOLLGATE_NET_LINGER_H
#define TOLLGATE_NET_LINGER_H

#include "lib/net/loop.h"
#include "lib/net/wire.h"
#include "lib/net/write_queue.h"

/* Takes over both, empties the caller's, and frees itself: 2 s after the last byte was sent at the
 * latest, or when the queue could not be sent in time, or with the loop. Then it calls on_over (may
 * be null), perhaps before linger() returns. */
void linger(struct loop *loop, struct wire *wire, struct write_queue *queue,
            void (*on_over)(void *arg), void *arg);

#endif
