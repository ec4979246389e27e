/* turn.h - changes that are decided by what Redis says, one at a time: of one subject (an account, a key, a call) each waits
 * until the one before is durable and all that this console wrote is applied. So what one decides by is what the one
 * before has done: an operation id counts once, and two changes at the same moment are two changes.
 *
 * A turn that is not decided within 10 s is answered 503 and never written: who asks again does so with the same id. */
#ifndef TOLLGATE_GATEWAY_TURN_H
#define TOLLGATE_GATEWAY_TURN_H

#include "gateway/desk.h"

#define TURN_SUBJECT (ID_TEXT + 16)

struct turn;
struct turn_handlers {
    void (*on_turn)(void *arg); /* not called when nobody waits for the answer any more */
    void (*free)(void *arg);
};
struct turn_ask {
    const char *kind, *subject; /* "account", "acme" */
    const char *op;
};
/* Owns `arg` until the turn has ended. The handlers live for ever. on_turn comes from the loop, or at once. */
void turn_new(struct console *c, struct http_request *r, const struct turn_ask *ask,
              const struct turn_handlers *handlers, void *arg, struct turn **out);

/* Null once it was answered or its client is gone: then there is nothing to decide, only to end. */
struct http_request *turn_request(const struct turn *t);
const char *turn_op(const struct turn *t);
struct console *turn_console(const struct turn *t);

/* Each of these ends the turn; `arg` is gone, and the next of the subject begins. */
void turn_end(struct turn *t);
void turn_refuse(struct turn *t, const struct err *err);
void turn_reply(struct turn *t, const struct buf *json);
/* Writes the record and answers as desk_post() does; the turn ends when it is durable. */
void turn_post(struct turn *t, const struct journal_change *change, struct span answer);
void turn_post_refund(struct turn *t, struct refund *r);
void turn_post_funds(struct turn *t, struct funds *f);

/* At the console's end, after its ledger was closed: what still waits is dropped, unwritten. */
void turns_close(struct console *c);

#endif
