/* repetition.h - answers a call whose idempotency key was answered before: nothing is run and nothing is charged. */
#ifndef TOLLGATE_GATEWAY_REPETITION_H
#define TOLLGATE_GATEWAY_REPETITION_H

#include "gateway/idempotency.h"
#include "gateway/server.h"

struct repeated {
    const char *account, *request_id; /* of the call that was answered */
    bool stream;
    const struct idempotent *by;
};
/* Takes the request over; copies the rest. A plain answer that is still stored comes again as it was. Otherwise its receipt does, in a form that no SDK takes
 * for an answer: an error object with status 410, or, of a stream, as its only event. */
void repetition_answer(struct server *server, struct http_request *r, const struct repeated *what);

#endif
