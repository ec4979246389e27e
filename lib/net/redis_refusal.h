/* redis_refusal.h - what an error that a server answered means for the command: whether it can be
 * sent again because nothing was done, and where. */
#ifndef TOLLGATE_NET_REDIS_REFUSAL_H
#define TOLLGATE_NET_REDIS_REFUSAL_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/addr.h"

enum redis_refusal {
    REDIS_IS_REPLY,  /* whoever asked has to know */
    REDIS_NO_SCRIPT, /* load it, send again */
    REDIS_LATER,     /* the same server, a moment later */
    REDIS_DEMOTED,   /* it is a replica by now: look for the master */
    REDIS_MOVED,     /* the slot is at `where`, from now on */
    REDIS_ASK,       /* this key may be at `where`: once, behind ASKING */
};

/* `where` ("host:port") is set for MOVED and ASK; a server that leaves the host out means itself:
 * then it begins with ':'. One that cannot be read is a reply. */
enum redis_refusal redis_refusal_of(struct span error, char where[ADDR_TEXT]) MUST_USE;

#endif
