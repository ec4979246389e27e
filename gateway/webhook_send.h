/* webhook_send.h - one attempt to deliver a message: signed, over TLS, answered by a status or not at all. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_SEND_H
#define TOLLGATE_GATEWAY_WEBHOOK_SEND_H

#include "lib/base/secret.h"
#include "lib/net/names.h"
#include "lib/net/tls.h"

/* Borrowed by attempts until they end; begins with none of them. */
struct webhook_road {
    struct loop *loop;
    struct names *names;     /* null: names can't be looked up here */
    struct tls_context *tls; /* whom to trust */
    bool private_too;
    int64_t timeout_ms; /* of an attempt, from the name's lookup to the answer's head */
    struct webhook_attempt *attempts; /* under way */
    bool is_empty;                    /* there are none, as of the last that has ended */
};

struct webhook_parcel {
    const char *url;
    const char *webhook;     /* id, from which its secret is derived */
    const struct secret *derivation_key;
    const char *id; /* the notice's */
    struct span body;
};

struct webhook_answer {
    unsigned status;        /* 0: none came */
    int64_t retry_after_ms; /* what the receiver asked for; 0: nothing */
    char text[ERR_TEXT_MAX]; /* a sentence for people: "it answered 500" */
};
bool webhook_is_delivered(const struct webhook_answer *a); /* 2xx */

struct webhook_attempt;
typedef void webhook_on_answer(void *arg, const struct webhook_answer *answer);
/* Copies the parcel. The answer comes exactly once, in a later turn, unless the attempt is abandoned; who never
 * does so needs no handle. */
struct webhook_attempt *webhook_send(struct webhook_road *road, const struct webhook_parcel *parcel,
                                     webhook_on_answer *on_answer, void *arg);
/* Nobody is told; its memory goes within the next turn of the loop. */
void webhook_abandon(struct webhook_attempt *a);
/* Breaks all attempts off, each of which is told so, and runs the loop until they are gone. */
void webhook_road_end(struct webhook_road *road);

#endif
