/* paid_call.h - one paid call from its body to its bill: admit, BEGIN, relay, END, the last bytes. */
#ifndef TOLLGATE_GATEWAY_PAID_CALL_H
#define TOLLGATE_GATEWAY_PAID_CALL_H

#include "gateway/call_request.h"
#include "gateway/server.h"
#include "gateway/service.h"

struct paid_calls; /* those of one worker */
struct paid_calls *paid_calls_new(struct server *server) MUST_USE;
/* No call may be open. */
void paid_calls_free(struct paid_calls *calls);
DEFINE_AUTO(paid_calls)

/* Takes the request over. Its caller (struct caller) is copied. Answers, bills and ends by itself. */
void paid_call_start(struct paid_calls *calls, struct http_request *r, const struct caller *caller,
                     enum surface surface);
/* Once a second: PROGRESS of every call whose cost has moved. */
void paid_calls_progress(struct paid_calls *calls);
size_t paid_calls_open(const struct paid_calls *calls);
/* The worker's time is over: stops every backend; the calls end soon as `killed`, streams with an error event. */
void paid_calls_cut(struct paid_calls *calls);

#endif
