/* write_queue.h - bytes that wait to be sent: contiguous, so that one write takes them all, and
 * owning no memory while empty. */
#ifndef TOLLGATE_NET_WRITE_QUEUE_H
#define TOLLGATE_NET_WRITE_QUEUE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct write_queue {
    struct buf bytes;
    size_t start; /* what stands before was taken */
    size_t max;
};

void write_queue_init(struct write_queue *q, size_t max);
void write_queue_clear(struct write_queue *q);
/* ERR_LIMIT when it would hold more than its maximum. */
bool write_queue_add(struct write_queue *q, const void *bytes, size_t n, struct err *err) MUST_USE;
void write_queue_take(struct write_queue *q, size_t n); /* forgets the first n bytes */

static inline size_t write_queue_len(const struct write_queue *q)
{
    return q->bytes.len - q->start;
}

static inline struct span write_queue_span(const struct write_queue *q)
{
    return (struct span){q->bytes.data + q->start, write_queue_len(q)};
}

#endif
