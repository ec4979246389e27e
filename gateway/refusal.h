/* refusal.h - what a caller is told when a paid call may not run or could not be answered. */
#ifndef TOLLGATE_GATEWAY_REFUSAL_H
#define TOLLGATE_GATEWAY_REFUSAL_H

#include "backends/backend.h"
#include "billing/admission.h"
#include "gateway/problem.h"
#include "gateway/surface.h"

/* The call that may not run. */
struct refused_call {
    struct money most;   /* its hold: what it may cost */
    int64_t least_nanos; /* what that would be with the lowest cap on its output */
    enum surface surface;
    const char *request_id;
};
/* Admission said no: the problem of its verdict, what is left, what the caller can do, and when to retry. */
void refusal_reply(struct http_request *r, const struct admission_answer *answer, const struct refused_call *call);

/* Why an upstream gave no answer, kept until its END is durable. */
struct failure {
    enum problem problem;
    unsigned status;        /* of an upstream refusal that is the caller's own to see; 0: use the problem's */
    int64_t retry_after_ms;
    struct buf body;        /* the upstream's error object, passed on with `status` */
    char text[ERR_TEXT_MAX];
};
void failure_clear(struct failure *f);
/* From a result that is no complete answer. The provider's words reach the caller only where the fault is the caller's (400, 404, 409, 413, 422) and
 * the body is an error object; what concerns our account with the provider (401, 402, 403) never does. */
void failure_from(struct failure *f, const struct backend_result *result);
/* We stopped it ourselves: a deadline (UPSTREAM_TIMEOUT), the end of our own time (GATEWAY_DRAINING), or the cap that it was
 * admitted for (UPSTREAM_BROKEN). */
void failure_of_stop(struct failure *f, enum problem p);
/* The whole reply, when no byte of an answer was sent yet. */
void failure_reply(struct http_request *r, const struct failure *f, const char *request_id);
/* An error event for a stream that had begun. */
void failure_event(const struct http_request *r, const struct failure *f, const char *request_id,
                   struct buf *out);

#endif
