/* admin_client.h - the command line's way to live state: the console's API on state/admin.sock.
 * Where no console runs, one is started for as long as the command needs it, under the console's
 * lock. */
#ifndef TOLLGATE_GATEWAY_ADMIN_CLIENT_H
#define TOLLGATE_GATEWAY_ADMIN_CLIENT_H

#include "gateway/options.h"
#include "lib/base/json.h"

struct admin_client;
struct admin_client *admin_client_open(const struct options *options, struct err *err) MUST_USE;
/* The console that listens there, and no other. */
struct admin_client *admin_client_connect(const char *state, struct err *err) MUST_USE;
/* Ends the console that was started, once it has done what it was asked. */
void admin_client_free(struct admin_client *c);
DEFINE_AUTO(admin_client)

struct admin_request {
    const char *method, *target;
    const json_t *body; /* null: none */
    int64_t timeout_ms;
};
struct admin_reply {
    json_t *json;
    bool is_answered; /* also with a refusal */
    bool is_pending;  /* written, but not applied in Redis yet: that will happen by itself */
};
void admin_reply_clear(struct admin_reply *r);
DEFINE_AUTO_CLEAR(admin_reply)
/* A refusal is the console's own sentence under a code that says no (INPUT,
 * NOT_FOUND, EXISTS, DENIED); with every other code it is unknown whether it was done. */
bool admin_client_call(struct admin_client *c, const struct admin_request *request,
                       struct admin_reply *reply, struct err *err) MUST_USE;
bool admin_client_is_refusal(enum err_code code);

#endif
