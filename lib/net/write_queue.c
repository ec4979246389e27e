/* write_queue.c - the part already taken is moved out of the way only when it is at least as long
 * as what is left, so each byte is moved once at most, however slowly the peer reads. */
#include "lib/net/write_queue.h"

#include <assert.h>

#define FIRST_ROOM 2000

static bool make_room(struct write_queue *q, size_t n);

void write_queue_init(struct write_queue *q, size_t max)
{
    *q = (struct write_queue){.max = max};
    buf_init(&q->bytes, max < SIZE_MAX / 2 ? 2 * max : SIZE_MAX);
}

void write_queue_clear(struct write_queue *q)
{
    buf_clear(&q->bytes);
    q->start = 0;
}

bool write_queue_add(struct write_queue *q, const void *bytes, size_t n, struct err *err)
{
    if (n > q->max - write_queue_len(q))
        return err_set(err, ERR_LIMIT, "more than %zu bytes wait to be sent", q->max);
    if (q->start && q->start >= write_queue_len(q)) {
        buf_consume(&q->bytes, q->start);
        q->start = 0;
    }
    if (q->bytes.data || make_room(q, n))
        buf_add(&q->bytes, bytes, n);
    return buf_ok(&q->bytes, "what waits to be sent", err);
}

/* For about what one turn brings, so that it does not grow step by step. */
static bool make_room(struct write_queue *q, size_t n)
{
    size_t first = q->max < FIRST_ROOM ? q->max : FIRST_ROOM;

    return buf_room(&q->bytes, n > first ? n : first) != NULL;
}

void write_queue_take(struct write_queue *q, size_t n)
{
    assert(n <= write_queue_len(q));
    q->start += n;
    if (q->start == q->bytes.len)
        write_queue_clear(q);
}
