/* stream_state.h - the insides that the parts of a stream share. */
#ifndef TOLLGATE_NET_STREAM_STATE_H
#define TOLLGATE_NET_STREAM_STATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/net/stream.h"
#include "lib/net/wire.h"
#include "lib/net/write_queue.h"

enum stream_state {
    STATE_CONNECTING, /* -> HANDSHAKE, OPEN, FAILED */
    STATE_HANDSHAKE,  /* -> OPEN, FAILED */
    STATE_OPEN,       /* -> FAILED */
    STATE_FAILED,     /* -> DEAD, once on_failed was called */
    STATE_DEAD,
};

struct stream {
    struct loop *loop;
    struct wire wire;
    enum stream_state state;
    struct stream_handlers handlers;
    void *arg;
    struct stream_limits limits;
    struct addr peer; /* of no length: nobody has asked yet */

    struct event event;
    short interest;           /* what `event` waits for; 0: not added */
    struct turn_end settling; /* flush, then bring `event` in line with the state */
    struct timer *timer;
    const char *timer_sentence;

    struct write_queue queue;
    uint64_t offered, taken;
    struct buf ahead;    /* read while paused */
    struct err *failure; /* what on_failed will say, or why writing ended */

    enum tls_want handshake_wants;
    bool is_paused;
    bool is_open_told;
    bool is_full;             /* passed the high mark and not yet fallen to the low one */
    bool is_write_blocked;    /* the socket took no more */
    bool is_read_blocked;     /* TLS must write before it can read on */
    bool is_write_broken;     /* what the peer said before is still read */
    bool is_failure_in_order; /* it comes behind what was read ahead */
    bool is_at_eof, is_eof_told;
    bool is_reset_awaited; /* behind the end */
    bool is_wake_wanted;
    bool is_freed; /* memory goes when no frame of ours is left on the stack */
    unsigned frames;
};

/* Runs the machine in the next turn, without a new event from the kernel. */
void stream_wake(struct stream *s);
/* Its owner is told in a later turn; the first failure is the cause of the others. */
void stream_fail(struct stream *s, const struct err *err);

#endif
