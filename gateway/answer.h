/* answer.h - how an answer's bytes leave: what stands around them, and what its bill adds. */
#ifndef TOLLGATE_GATEWAY_ANSWER_H
#define TOLLGATE_GATEWAY_ANSWER_H

#include "billing/admission.h"
#include "lib/net/httpd.h"

void answer_begin_stream(struct http_request *r, const char *content_type, const char *request_id,
                         const struct rate_left rates[RATES]);
/* The last bytes of a stream, cost and receipt before them as SSE comments in the same write. Only once the bill is durable. */
void answer_end_stream(struct http_request *r, const struct event *e, struct span closing);
/* A whole answer, cost and receipt as headers. Likewise. */
void answer_plain(struct http_request *r, const struct event *e, const char *content_type,
                  const struct rate_left rates[RATES], struct span body);

/* What a repeated call gets for one that was answered before. */
struct answered {
    const char *request_id; /* of the call that was answered */
    unsigned status;
    const char *code; /* x-tollgate-code; null: the body is the answer itself */
    const char *content_type;
    const char *cost; /* of the call that was answered; null: not known */
    struct span body;
};
void answer_again(struct http_request *r, const struct answered *a);

/* Whether bytes of a stream end with an event's blank line: a long event comes in parts. */
bool answer_ends_event(struct span bytes);

/* W3C Trace Context, version 00; anything else leaves `out` empty and is not passed on. */
#define TRACEPARENT_TEXT 56
void traceparent_take(struct span header, char out[TRACEPARENT_TEXT]);

#endif
