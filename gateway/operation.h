/* operation.h - whether an operation id of an account or a key has set something already: asked in its turn (turn.h),
 * before the record is written, so that a repetition is answered and never taken for another change. */
#ifndef TOLLGATE_GATEWAY_OPERATION_H
#define TOLLGATE_GATEWAY_OPERATION_H

#include "billing/record.h"
#include "lib/net/redis.h"

enum operation_seen {
    OPERATION_NEW,
    OPERATION_SAME, /* it set the same, or, of a part, what that names: this is its repetition */
    OPERATION_OTHER /* it did or set something else */
};
struct operation_ask {
    enum record_kind kind; /* of an account, or a key */
    const char *id;        /* the account's, or the public id */
    struct partition partition;
    struct span record; /* the body that would be written */
    bool is_part;       /* or only what was asked for: the body would have more */
};
typedef void operation_on_seen(void *arg, enum operation_seen seen, const struct err *err);
void operation_look(struct redis *redis, const struct operation_ask *ask,
                    operation_on_seen *on_seen, void *arg);

/* Says in the answer, a whole JSON object, that nothing was changed; with that many bytes more. */
#define REPEATED_BYTES 20
void operation_mark_repeated(struct buf *json);

/* Answers 409 to an id that was used for something else. */
struct http_request;
void operation_reply_other(struct http_request *r, const char *op);
/* The same to one that made a key. */
void key_reply_other(struct http_request *r, const char *op, const char *public_id);

#endif
