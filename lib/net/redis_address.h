/* redis_address.h - what stands behind a Redis address, and where:
 *
 *   unix:PATH                                      one server
 *   redis://[USER@]HOST:PORT                       one server
 *   redis-sentinel://[USER@]HOST:PORT,…/MASTER     the master that these sentinels name
 *   redis-cluster://[USER@]HOST:PORT,…             the Cluster that these belong to
 *
 * With rediss for redis, all of it is spoken over TLS. */
#ifndef TOLLGATE_NET_REDIS_ADDRESS_H
#define TOLLGATE_NET_REDIS_ADDRESS_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/addr.h"

enum redis_kind { REDIS_ALONE, REDIS_BY_SENTINEL, REDIS_IN_CLUSTER };

#define REDIS_HOST       256
#define REDIS_PLACES_MAX 64

/* Where a server is, and the name that its certificate must hold. */
struct redis_place {
    struct addr addr;
    char host[REDIS_HOST]; /* without brackets; "" for a unix socket */
};

struct redis_address {
    enum redis_kind kind;
    bool is_tls;
    char *user;    /* null: none stated */
    char *master;  /* its name, for sentinels */
    char **places; /* "host:port" or "unix:path", as written */
    size_t count;
};

/* ERR_INPUT says what is wrong, and never repeats what may be a password. */
bool redis_address_parse(const char *text, struct redis_address *out, struct err *err) MUST_USE;
void redis_address_clear(struct redis_address *a);
DEFINE_AUTO_CLEAR(redis_address)

/* Of "host:port" or "unix:path". The first looks a name up, blocking: only before the loop runs. */
bool redis_place_resolve(const char *text, struct redis_place *out, struct err *err) MUST_USE;
bool redis_place_parse(const char *text, struct redis_place *out, struct err *err) MUST_USE;

#endif
