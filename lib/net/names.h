/* names.h - the addresses of names, asked of another process, so that no lookup ever holds the loop.
 *
 * A name is asked for again and again while it is watched, and what was found last stays good while lookups fail. Who answers
 * (names_server.h) listens on a unix socket. A question is "host:port\n"; an answer repeats it with the addresses behind
 * ("host:port 127.0.0.1:443 [::1]:443\n"), or with the reason why there are none ("host:port !no such name\n"). */
#ifndef TOLLGATE_NET_NAMES_H
#define TOLLGATE_NET_NAMES_H

#include "lib/net/addr.h"
#include "lib/net/loop.h"

struct names_times {
    int64_t fresh_ms;  /* after an answer, until the name is asked for again */
    int64_t retry_ms;  /* after a failure */
    int64_t answer_ms; /* for an answer to come */
};

struct names;
/* Connects when the first name is watched, and again whenever that breaks. */
struct names *names_new(struct loop *loop, const struct addr *server,
                        const struct names_times *times) MUST_USE;
void names_free(struct names *n); /* nothing may be watched */
DEFINE_AUTO(names)

struct name;
/* `text`: "example.com:443". `on_told` comes in later turns, each time that addresses were found or that a lookup failed; it
 * may free the name. */
struct name *name_watch(struct names *n, const char *text, void (*on_told)(void *arg),
                        void *arg) MUST_USE;
void name_free(struct name *name);
DEFINE_AUTO(name)
/* Null before the first good answer: ERR_UNAVAILABLE when a lookup has failed, else ERR_NONE. Valid until the next turn. */
const struct addr_list *name_addrs(const struct name *name, struct err *err);

#endif
