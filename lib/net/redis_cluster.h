/* redis_cluster.h - the servers of a Cluster and who has which slot, as far as this process knows.
 * It asks once a second and when it is told that something has changed. */
#ifndef TOLLGATE_NET_REDIS_CLUSTER_H
#define TOLLGATE_NET_REDIS_CLUSTER_H

#include "lib/net/redis_node.h"

struct redis_cluster;

struct redis_cluster *redis_cluster_new(struct redis_setup *setup,
                                        const struct redis_address *address,
                                        const struct redis_node_handlers *handlers, void *arg,
                                        struct err *err) MUST_USE;
/* Callbacks of what is pending run with `why` first. */
void redis_cluster_free(struct redis_cluster *c, const struct err *why);

/* The master of the slot; null when none is known. */
struct redis_node *redis_cluster_node(const struct redis_cluster *c, unsigned slot);
/* The i-th of the masters that have slots; null when there are no more. */
struct redis_node *redis_cluster_nth(const struct redis_cluster *c, size_t i);
bool redis_cluster_is_ready(const struct redis_cluster *c); /* every slot can be reached */

/* A server said that the slot is at `where` from now on; on_ready follows. Null when that is no
 * address. */
struct redis_node *redis_cluster_moved(struct redis_cluster *c, unsigned slot, const char *where);
/* The server at `where`, made known if it was not; null when that is no address. */
struct redis_node *redis_cluster_at(struct redis_cluster *c, const char *where);
void redis_cluster_hurry(struct redis_cluster *c);

#endif
