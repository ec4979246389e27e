/* httpc_link.h - the insides that the parts of httpc share: one origin, its calls, and the connections that carry them. */
#ifndef TOLLGATE_NET_HTTPC_LINK_H
#define TOLLGATE_NET_HTTPC_LINK_H

#include "lib/base/attr.h"
#include "lib/net/http1_chunks.h"
#include "lib/net/httpc.h"
#include "lib/net/httpc_pool.h"

struct httpc {
    struct loop *loop;
    char *origin; /* as it was given, for sentences */
    char *host;
    char *tls_host;         /* null: plain */
    struct addr_list addrs; /* unless `name` has them */
    struct name *name;      /* null: none to look up */
    bool (*may_connect)(void *arg, const struct addr *to); /* null: to all */
    void *may_connect_arg;
    size_t addr_at;         /* the address that is connected to, modulo their number */
    struct tls_context *tls;
    struct httpc_limits limits;
    char *connect_sentence, *first_byte_sentence, *between_bytes_sentence;
    struct pool pool;
    size_t call_count;
    struct httpc_call *waiting; /* for the name's addresses; the oldest first */
    struct httpc_call *due;     /* of these, those that are about to be told */
    struct timer *waiting_end;
    struct http_head head; /* of the reply that is being handed over */
};

struct httpc_call {
    struct httpc *client;
    struct link *link;       /* null while it waits, and once it has failed or was cancelled */
    struct httpc_call *next; /* while it waits */
    bool is_waiting;
    int64_t connect_by_ms; /* monotonic; 0: it has not asked for a new connection yet */
    size_t addrs_tried;
    struct httpc_handlers handlers;
    void *arg;
    struct buf head; /* of the request */
    struct span method;
    struct span body;
    size_t body_sent;
    bool is_paused, is_cancelled;
    bool is_sent_again;
    bool was_accepted; /* perhaps, by a connection that is gone */
    struct turn_end later;
};

struct httpc_call *call_new(struct httpc *c, const struct httpc_handlers *handlers, void *arg);
void call_free(struct httpc_call *call);
void call_run_later(void *call); /* what was put off to the turn's end */
/* What is left of its time to connect, 1 at least; it begins with the first connection that it needs. */
int64_t call_connect_ms(struct httpc_call *call);
/* The last thing that happens to a call. */
void call_end(struct httpc_call *call, const struct err *err);

/* The origin's; null while its name has none. */
const struct addr_list *httpc_addrs(const struct httpc *c, struct err *err);
/* ERR_DENIED unless its owner lets it. */
bool httpc_may_connect(const struct httpc *c, const struct addr *to, struct err *err) MUST_USE;

/* Gives the call a connection and begins to send, or puts it among the waiting. */
bool link_carry(struct httpc_call *call, struct err *err) MUST_USE;
/* Whether the socket took any byte of the call's request. */
bool link_has_sent(const struct link *l);
void link_pause(struct link *l);
void link_resume(struct link *l);
void link_close(struct link *l); /* its call is no longer its own */

/* Until the name has addresses, or the call's time to connect is over. */
void call_wait(struct httpc_call *call);
/* False: it did not wait. */
bool call_stop_waiting(struct httpc_call *call);
void waiting_name_told(void *httpc);
void waiting_over(void *httpc);

#endif
