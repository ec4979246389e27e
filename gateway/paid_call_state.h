/* paid_call_state.h - what the parts of a paid call share: the call itself and the list of those that are open. */
#ifndef TOLLGATE_GATEWAY_PAID_CALL_STATE_H
#define TOLLGATE_GATEWAY_PAID_CALL_STATE_H

#include "gateway/answer.h"
#include "gateway/call_request.h"
#include "gateway/idempotency.h"
#include "gateway/meter.h"
#include "gateway/refusal.h"
#include "gateway/server.h"
#include "gateway/service.h"

#define CONTENT_TYPE_TEXT 128

enum call_state {
    CALL_ADMITTING, /* waits for the ledger's yes */
    CALL_BEGINNING, /* BEGIN is queued, and not yet written */
    CALL_WAITING,   /* a backend is at work, nothing of its answer is here yet */
    CALL_ANSWERING, /* the answer has begun */
    CALL_SETTLING,  /* END is queued; the last bytes wait for it */
};

/* Why we stopped a backend ourselves. */
enum stop { STOP_NONE, STOP_CLIENT_GONE, STOP_TIMEOUT, STOP_LIMIT, STOP_DRAIN };

struct paid_calls {
    struct server *server;
    struct jscan *scanner;
    struct paid_call *first;
    size_t open;
    int64_t noted_ms; /* when the last admit that failed was logged */
    uint64_t unnoted; /* those since */
};

struct paid_call {
    struct paid_calls *all;
    struct paid_call *next, **link;
    enum call_state state;
    enum stop stop;

    struct http_request *request; /* null once the client is gone */
    struct key_holder holder;     /* holds its access */
    struct key_check *check;      /* null unless the key is being read again */
    unsigned key_readings;
    struct request_log *log;
    struct buf body;
    struct call_request wants;

    struct catalogue *catalogue; /* held, since `model` and `price` live in it */
    const struct model *model;
    const struct price *price;
    struct event event;
    struct hold *hold;
    struct idempotents *idempotent; /* null: the call carries no Idempotency-Key */
    struct rate_left rates[RATES];  /* as admission left them, for the answer's headers */

    uint64_t tried; /* one bit a backend of the model */
    struct backend_call *backend;
    struct served_backend *served; /* that it is, or was last, sent to */
    struct breaker_try trial;      /* its part in that one's breaker */
    struct timer *deadline;

    char traceparent[TRACEPARENT_TEXT]; /* or "" */
    char content_type[CONTENT_TYPE_TEXT];
    int64_t came;           /* content chunks that the backend gave, whether the client is still there or not */
    int64_t content;        /* of them, those given to the client's queue */
    bool is_between_events; /* what was given to it last ended an event */
    struct meter_marks marks;
    struct buf held;    /* what leaves after END */
    struct usage usage; /* of an answer that is about to be billed; and as what, when it is cut */
    enum outcome cut_outcome;
    int64_t cut_by_ms; /* monotonic */
    bool
        is_confirming; /* its answer is whole, and whether it still has its idempotency key is asked */
    int64_t confirm_by_ms; /* monotonic */
    bool answered;         /* an answer had begun when it settled */
    bool has_failed;
    struct failure failure;
};

/* Takes the request's body; the call stands in the list of those open until it is freed. */
struct paid_call *paid_call_new(struct paid_calls *all, struct http_request *r,
                                const struct caller *caller) MUST_USE;
void paid_call_free(struct paid_call *c);
/* The most tokens that one of its answers may have; 0: it has none. */
int64_t call_output_cap(const struct paid_call *c);

#endif
