/* request_log.h - what is told of one request when it is over: to the board, and to the access log.
 *
 * Gathered while the request runs; its connection and, of a paid call, the call each hold it, since
 * a client may be gone long before its call has ended. The last to let go tells. Nothing of a body,
 * no secret and no query is ever in it. */
#ifndef TOLLGATE_GATEWAY_REQUEST_LOG_H
#define TOLLGATE_GATEWAY_REQUEST_LOG_H

#include "gateway/access_log.h"
#include "gateway/board.h"
#include "lib/net/addr.h"

#define LOGGED_PATH 200

/* Where a process tells it. */
struct reporter {
    struct seat *seat;
    struct access_log *access; /* null: there is none */
};

struct request_log {
    struct reporter *reporter; /* borrowed */
    unsigned holders;
    char request_id[REQUEST_ID_TEXT];
    char account[ID_TEXT], key[KEY_ID_PUBLIC]; /* "" while nobody is known */
    char method[12], path[LOGGED_PATH];
    struct addr client; /* of no length when not known */
    const char *route; /* its pattern; null: none was found */
    int64_t began_at;  /* wall clock */
    int64_t began;     /* monotonic, as all others */
    int64_t admitted, first_byte, ended;
    unsigned status; /* 0: the client went away before an answer */
    int problem;     /* of enum problem; -1: none */
    uint64_t request_bytes, reply_bytes;
    bool is_broken; /* the answer did not come to its end */

    bool is_call; /* and then: */
    bool is_stream;
    char model[MODEL_TEXT], backend[ID_TEXT];
    struct used used;
    struct money amount;
    enum outcome outcome;
};

/* Held once. */
struct request_log *request_log_new(struct reporter *reporter, const char *request_id) MUST_USE;
void request_log_hold(struct request_log *l);
void request_log_release(struct request_log *l);
/* The call that `e` says has ended. */
void request_log_event(struct request_log *l, const struct event *e);

#endif
