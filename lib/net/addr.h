/* addr.h - where to listen and connect: "127.0.0.1:8443", "[::1]:8443", "localhost:80",
 * "unix:/run/redis.sock". */
#ifndef TOLLGATE_NET_ADDR_H
#define TOLLGATE_NET_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define ADDR_TEXT 128

struct addr {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_un local;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
};

#define ADDR_LIST_MAX 8
struct addr_list {
    size_t count;
    struct addr addr[ADDR_LIST_MAX];
};

/* Numeric addresses, "localhost" (127.0.0.1) and unix: only; never blocks. ERR_INPUT otherwise. */
bool addr_parse(const char *text, struct addr *out, struct err *err) MUST_USE;
/* Also resolves names, blocking: only before the loop runs. */
bool addr_resolve(const char *text, struct addr *out, struct err *err) MUST_USE;
/* All addresses of a name, the best first; blocking. One at least, or ERR_UNAVAILABLE. */
bool addr_look_up(const char *text, struct addr_list *out, struct err *err) MUST_USE;
const char *addr_format(const struct addr *a, char out[ADDR_TEXT]);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a);

/* A bound, listening, non-blocking, close-on-exec socket; TCP with SO_REUSEPORT and TCP_NODELAY
 * (inherited by what it accepts), unix with mode 0600 after replacing a dead socket file. Port 0
 * chooses one: `*bound` tells. */
int addr_listen(const struct addr *a, struct addr *bound, struct err *err) MUST_USE;

#endif
