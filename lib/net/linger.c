/* linger.c - a connection without an owner. Its sending and its waiting have absolute ends. */
#include "lib/net/linger.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/base/mem.h"

#define LINGER_MS 2000
#define SEND_MS   10000 /* to send what is queued, and a second more for each 16 KB of it */
#define SEND_RATE 16384

struct lingering {
    struct loop *loop;
    struct wire wire;
    struct write_queue queue;
    struct event event;
    struct timer *timer;
    struct turn_end at_loop_end;
    void (*on_over)(void *arg);
    void *arg;
};

static void take_over(struct lingering *l, struct wire *wire, struct write_queue *queue);
static void await(struct lingering *l, short what, event_callback_fn on_event);
static void send_more(evutil_socket_t fd, short what, void *arg);
static void half_close(struct lingering *l);
static void discard(evutil_socket_t fd, short what, void *arg);
static void lingering_free(void *arg);

void linger(struct loop *loop, struct wire *wire, struct write_queue *queue,
            void (*on_over)(void *arg), void *arg)
{
    struct lingering *l = xcalloc(1, sizeof *l);
    size_t len = write_queue_len(queue);

    l->loop = loop;
    l->on_over = on_over;
    l->arg = arg;
    take_over(l, wire, queue);
    l->timer = timer_new(loop, lingering_free, l);
    timer_start(l->timer, SEND_MS + (int64_t)(len / SEND_RATE) * 1000);
    l->at_loop_end = (struct turn_end){.run = lingering_free, .arg = l};
    loop_own(loop, &l->at_loop_end);
    event_assign(&l->event, loop_event_base(loop), l->wire.fd, 0, send_more, l);
    send_more(l->wire.fd, EV_WRITE, l);
}

static void take_over(struct lingering *l, struct wire *wire, struct write_queue *queue)
{
    l->wire = *wire;
    l->queue = *queue;
    *wire = (struct wire){.fd = -1};
    write_queue_init(queue, queue->max);
}

static void await(struct lingering *l, short what, event_callback_fn on_event)
{
    int failed;

    event_del(&l->event);
    event_assign(&l->event, loop_event_base(l->loop), l->wire.fd, (short)(what | EV_PERSIST),
                 on_event, l);
    failed = event_add(&l->event, NULL);
    assert(!failed);
    (void)failed;
}

static void send_more(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct lingering *l = arg;
    enum tls_want want = TLS_DONE;
    size_t n;

    if (write_queue_len(&l->queue)) {
        want = wire_write(&l->wire, write_queue_span(&l->queue), &n, NULL);
        write_queue_take(&l->queue, n);
    }
    if (want == TLS_FAILED)
        lingering_free(l);
    else if (want == TLS_DONE)
        half_close(l);
    else if (!event_pending(&l->event, EV_WRITE, NULL))
        await(l, EV_WRITE, send_more);
}

static void half_close(struct lingering *l)
{
    wire_half_close(&l->wire);
    timer_start(l->timer, LINGER_MS);
    await(l, EV_READ, discard);
}

static void discard(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct lingering *l = arg;

    if (!wire_discard(&l->wire, loop_scratch(l->loop), LOOP_SCRATCH))
        lingering_free(l);
}

static void lingering_free(void *arg)
{
    struct lingering *l = arg;

    event_del(&l->event);
    timer_free(l->timer);
    turn_end_cancel(&l->at_loop_end);
    wire_close(&l->wire);
    write_queue_clear(&l->queue);
    if (l->on_over)
        l->on_over(l->arg);
    free(l);
}
