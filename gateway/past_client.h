/* past_client.h - how a worker looks up calls that Redis no longer has: it asks the console on
 * admin.sock, so no file is read on a worker's loop. */
#ifndef TOLLGATE_GATEWAY_PAST_CLIENT_H
#define TOLLGATE_GATEWAY_PAST_CLIENT_H

#include "gateway/history.h"

struct past_client;
/* The console that listens in `state`, whenever it does: while it does not, look-ups fail with
 * ERR_UNAVAILABLE. */
struct past_client *past_client_new(struct loop *loop, const char *state, struct err *err) MUST_USE;
/* Before the loop ends. Questions that run end with ERR_CANCELLED. */
void past_client_free(struct past_client *c);
DEFINE_AUTO(past_client)
struct past past_of_client(struct past_client *c);

#endif
