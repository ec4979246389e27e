/* paid_call_end.h - the ways a paid call ends. Each leads to one END; what ends its answer leaves once that is durable, and then the call is freed. */
#ifndef TOLLGATE_GATEWAY_PAID_CALL_END_H
#define TOLLGATE_GATEWAY_PAID_CALL_END_H

#include "gateway/paid_call_state.h"

/* The backend's answer is whole. Should another call have got this one's idempotency key meanwhile, or should that not be known for 30 s (c->deadline
 * asks again), it is not given. */
void call_complete(struct paid_call *c, const struct usage *usage);
void call_confirm(struct paid_call *c);
/* The backend gave no answer, or not all of it. */
void call_fail(struct paid_call *c, const struct backend_result *result);
/* It ends before its answer does. What was queued for a client that is still there leaves at the turn's end or a little later (c->deadline polls
 * for it), and counts as handed only then. */
void call_cut(struct paid_call *c, const struct usage *usage, enum outcome outcome);
void call_cut_now(struct paid_call *c, const struct usage *usage, enum outcome outcome);
bool call_is_still_taking(const struct paid_call *c);
/* Content chunks whose bytes the client's socket has taken. */
int64_t call_handed(struct paid_call *c);

#endif
