/* paid_call_backend.h - the backend's half of a paid call: who is asked, what comes back, and how its end leads to the call's. */
#ifndef TOLLGATE_GATEWAY_PAID_CALL_BACKEND_H
#define TOLLGATE_GATEWAY_PAID_CALL_BACKEND_H

#include "gateway/paid_call_state.h"

/* To the next of the model's backends that was not tried. False: there is none, and `*why` is how the call ends. */
bool call_send(struct paid_call *c, struct backend_result *why) MUST_USE;
/* The first reason counts. Its end comes as ever, and then the call's. */
void call_stop_backend(struct paid_call *c, enum stop why);

#endif
