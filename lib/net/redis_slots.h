/* redis_slots.h - which slot of a Cluster a key is in, and which servers have which slots. */
#ifndef TOLLGATE_NET_REDIS_SLOTS_H
#define TOLLGATE_NET_REDIS_SLOTS_H

#include "lib/net/redis.h"
#include "lib/net/redis_address.h"

#define REDIS_SLOTS 16384

/* CRC16 (XMODEM) of the key, or of what stands between its first '{' and the next '}', modulo
 * 16384. https://redis.io/docs/reference/cluster-spec/ */
unsigned redis_slot_of(struct span key);

/* Slots in a row, and their master. */
struct redis_slot_range {
    unsigned first, last;
    struct redis_place place;
};

/* One element of the reply to CLUSTER SLOTS: [first, last, [host, port, id, [names …]], replicas …].
 * A server that does not name its host is where `from` is. */
bool redis_slot_range_read(const struct redis_reply *element, const struct redis_place *from,
                           struct redis_slot_range *out, struct err *err) MUST_USE;

#endif
