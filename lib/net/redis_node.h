/* redis_node.h - one server: a link that is kept open and prepared anew each time, what is known of
 * the process at its other end, and which scripts that was given. */
#ifndef TOLLGATE_NET_REDIS_NODE_H
#define TOLLGATE_NET_REDIS_NODE_H

#include "lib/net/redis_address.h"
#include "lib/net/redis_info.h"
#include "lib/net/redis_link.h"
#include "lib/net/redis_prepare.h"

struct redis_node;

/* What all nodes of one Redis have in common; it outlives them. */
struct redis_setup {
    struct loop *loop;
    struct redis_login login;
    int64_t connect_ms;
    struct tls_context *tls; /* null: plain */
    const char *tls_name;    /* what certificates must hold; null: each server's own host */
    uint64_t terms;          /* connections prepared so far, by all of them */
};
struct redis_link *redis_setup_connect(const struct redis_setup *setup,
                                       const struct redis_place *place,
                                       const struct redis_link_handlers *handlers, void *arg,
                                       struct err *err) MUST_USE;

/* Either may free the node. */
struct redis_node_handlers {
    void (*on_ready)(void *arg);
    void (*on_lost)(void *arg, const struct err *err); /* also at each failed attempt */
};

struct redis_node *redis_node_new(struct redis_setup *setup, const struct redis_place *place,
                                  const struct redis_node_handlers *handlers, void *arg) MUST_USE;
/* Callbacks of what is pending run with `why` first. Allowed inside any callback. */
void redis_node_free(struct redis_node *n, const struct err *why);

/* Of no node (null): false, 0, "". */
bool redis_node_is_ready(const struct redis_node *n);
uint64_t redis_node_term(const struct redis_node *n);      /* 0 when not ready */
const char *redis_node_run_id(const struct redis_node *n); /* "" when not ready */
const char *redis_node_where(const struct redis_node *n);  /* "host:port", in numbers */
const char *redis_node_host(const struct redis_node *n);
size_t redis_node_pending(const struct redis_node *n);
/* To send on; while it is ready. */
struct redis_link *redis_node_link(const struct redis_node *n);
/* It is no master any more: nothing is sent on this connection from now on, and once what is
 * pending had time to be answered, another one is made. */
void redis_node_distrust(struct redis_node *n, const struct err *why);
/* Has the script loaded, unless that was asked for since the command with this number (of
 * redis_link_sent()) was sent. */
void redis_node_load(struct redis_node *n, const struct redis_script *script, uint64_t asked_by);

#endif
