/* stream.c - one machine per connection. Its owner's calls only note what is wanted; libevent's
 * events and the end of the turn run the machine, and only these call handlers. Whatever needs to
 * happen without a new event from the kernel (bytes inside OpenSSL, a failure to report) is woken
 * up for in the next turn, so no stream can keep the others from theirs. */
#include "lib/net/stream.h"

#include <assert.h>

#include "lib/base/mem.h"
#include "lib/net/stream_state.h"

#define READS_PER_TURN 4
#define AHEAD_MAX      16384 /* read while paused, in order to see a hang-up behind it */

#define EV_WAKE EV_TIMEOUT

static struct stream *stream_make(struct loop *loop, const struct stream_owner *owner);
static void take_event(evutil_socket_t fd, short what, void *arg);
static void settle(void *arg);
static void set_interest(struct stream *s);
static short wanted_interest(const struct stream *s);
static short wanted_reading(const struct stream *s);
static void enter(struct stream *s);
static void leave(struct stream *s);
static void connect_step(struct stream *s, short what);
static void handshake_step(struct stream *s, short what);
static void open_step(struct stream *s, short what);
static void tell_open(struct stream *s);
static void read_on(struct stream *s);
static void look_behind_end(struct stream *s);
static bool is_reading(const struct stream *s);
static void give(struct stream *s, const char *bytes, size_t n);
static void give_ahead(struct stream *s);
static void read_ahead(struct stream *s);
static void read_ended(struct stream *s, enum tls_want want, const struct err *err);
static void tell_eof(struct stream *s);
static void flush(struct stream *s);
static void write_failed(struct stream *s, const struct err *err);
static void tell_drained(struct stream *s);
static void remember(struct stream *s, const struct err *err);
static void failed_step(struct stream *s, short what);
static void dead_step(struct stream *s, short what);

static void (*const steps[])(struct stream *, short what) = {
    [STATE_CONNECTING] = connect_step, [STATE_HANDSHAKE] = handshake_step, [STATE_OPEN] = open_step,
    [STATE_FAILED] = failed_step,      [STATE_DEAD] = dead_step,
};

struct stream *stream_accepted(struct loop *loop, int fd, struct tls_context *tls,
                               const struct stream_owner *owner)
{
    struct stream *s = stream_make(loop, owner);
    struct err err;

    s->wire.fd = fd;
    s->state = tls ? STATE_HANDSHAKE : STATE_OPEN;
    if (tls && !(s->wire.tls = tls_new(tls, fd, NULL, &err)))
        stream_fail(s, &err);
    stream_wake(s);
    return s;
}

struct stream *stream_connect(struct loop *loop, const struct stream_peer *peer,
                              const struct stream_owner *owner, struct err *err)
{
    AUTO(stream) s = stream_make(loop, owner);
    bool is_pending;

    s->peer = peer->addr;
    if (!wire_connect(&s->wire, &peer->addr, &is_pending, err))
        return NULL;
    if (peer->tls && !(s->wire.tls = tls_new(peer->tls, s->wire.fd, peer->tls_host, err)))
        return NULL;
    if (is_pending)
        turn_end_schedule(loop, &s->settling);
    else
        stream_wake(s);
    return KEEP(s);
}

static struct stream *stream_make(struct loop *loop, const struct stream_owner *owner)
{
    const struct stream_limits *limits = owner->limits;
    struct stream *s = xcalloc(1, sizeof *s);

    assert(limits->low <= limits->high && limits->high <= limits->queue_max);
    s->loop = loop;
    s->wire.fd = -1;
    s->limits = *limits;
    s->handshake_wants = TLS_WANT_READ;
    s->settling = (struct turn_end){.run = settle, .arg = s};
    write_queue_init(&s->queue, limits->queue_max);
    buf_init(&s->ahead, AHEAD_MAX);
    s->handlers = *owner->handlers;
    s->arg = owner->arg;
    event_assign(&s->event, loop_event_base(loop), -1, 0, take_event, s);
    return s;
}

void stream_free(struct stream *s)
{
    if (!s || s->is_freed)
        return;
    event_del(&s->event);
    turn_end_cancel(&s->settling);
    timer_free(s->timer);
    wire_close(&s->wire);
    write_queue_clear(&s->queue);
    buf_clear(&s->ahead);
    free(s->failure);
    s->is_freed = true;
    if (s->frames == 0)
        free(s);
}

static void enter(struct stream *s)
{
    s->frames++;
}

static void leave(struct stream *s)
{
    if (--s->frames == 0 && s->is_freed)
        free(s);
}

/* Steps until one leaves the state as it is: a connected stream goes through to its first bytes at
 * once. */
static void take_event(evutil_socket_t fd UNUSED, short what, void *arg)
{
    struct stream *s = arg;
    enum stream_state before;

    enter(s);
    do {
        before = s->state;
        steps[s->state](s, what);
    } while (!s->is_freed && s->state != before);
    if (!s->is_freed && wanted_interest(s) != s->interest)
        turn_end_schedule(s->loop, &s->settling);
    leave(s);
}

static void settle(void *arg)
{
    struct stream *s = arg;

    enter(s);
    if (s->state == STATE_OPEN && !s->is_write_blocked)
        flush(s);
    if (!s->is_freed)
        set_interest(s);
    if (!s->is_freed && s->is_wake_wanted) {
        s->is_wake_wanted = false;
        event_active(&s->event, EV_WAKE, 0);
    }
    leave(s);
}

/* An event of libevent's that waits for other things must be taken out and put in again. */
static void set_interest(struct stream *s)
{
    short wanted = wanted_interest(s);
    int failed = 0;

    if (wanted == s->interest)
        return;
    s->is_wake_wanted = s->is_wake_wanted || event_pending(&s->event, EV_WAKE, NULL);
    event_del(&s->event);
    event_assign(&s->event, loop_event_base(s->loop), s->wire.fd, (short)(wanted | EV_PERSIST),
                 take_event, s);
    if (wanted)
        failed = event_add(&s->event, NULL);
    assert(!failed);
    (void)failed;
    s->interest = wanted;
}

static short wanted_interest(const struct stream *s)
{
    switch (s->state) {
    case STATE_CONNECTING:
        return EV_WRITE;
    case STATE_HANDSHAKE:
        return s->handshake_wants == TLS_WANT_WRITE ? EV_WRITE : EV_READ;
    case STATE_OPEN:
        return (short)(wanted_reading(s) | (s->is_write_blocked ? EV_WRITE : 0));
    default:
        return 0;
    }
}

/* While paused with as much read ahead as may be, and behind the end, only an edge is of interest:
 * epoll reports a reset (and the end) as "readable", and level triggered it would report it again and
 * again. */
static short wanted_reading(const struct stream *s)
{
    const short edge = EV_READ | EV_CLOSED | EV_ET;

    if (s->is_at_eof)
        return s->is_reset_awaited ? edge : 0;
    if (s->is_read_blocked)
        return EV_WRITE;
    if (s->is_paused && s->ahead.len == AHEAD_MAX)
        return edge;
    return EV_READ;
}

void stream_wake(struct stream *s)
{
    s->is_wake_wanted = true;
    turn_end_schedule(s->loop, &s->settling);
}

static void connect_step(struct stream *s, short what UNUSED)
{
    struct err err;

    if (!wire_connected(&s->wire, &s->peer, &err))
        stream_fail(s, &err);
    else
        s->state = s->wire.tls ? STATE_HANDSHAKE : STATE_OPEN;
}

static void handshake_step(struct stream *s, short what UNUSED)
{
    struct err err;

    s->handshake_wants = tls_handshake(s->wire.tls, &err);
    if (s->handshake_wants == TLS_EOF)
        err_set(&err, ERR_CLOSED, "the peer closed the connection during the TLS handshake");
    if (s->handshake_wants == TLS_EOF || s->handshake_wants == TLS_FAILED)
        stream_fail(s, &err);
    else if (s->handshake_wants == TLS_DONE)
        s->state = STATE_OPEN;
}

static void open_step(struct stream *s, short what)
{
    if (!s->is_open_told) {
        tell_open(s);
        if (s->is_freed || s->state != STATE_OPEN)
            return;
    }
    if (what & EV_WRITE) {
        s->is_write_blocked = false;
        s->is_read_blocked = false;
        flush(s);
        if (s->is_freed || s->state != STATE_OPEN)
            return;
    }
    read_on(s);
}

static void tell_open(struct stream *s)
{
    s->is_open_told = true;
    turn_end_schedule(s->loop, &s->settling);
    if (s->handlers.on_open)
        s->handlers.on_open(s->arg);
}

/* The bytes are in the loop's scratch, or in a buffer of this frame: the handler may free or finish
 * the stream. */
static void read_on(struct stream *s)
{
    enum tls_want want = s->is_at_eof ? TLS_WANT_READ : TLS_DONE;
    char *scratch = loop_scratch(s->loop);
    struct err err;
    size_t n;

    if (s->is_reset_awaited) {
        look_behind_end(s);
        return;
    }
    if (s->is_paused) {
        read_ahead(s);
        return;
    }
    if (s->ahead.len) {
        give_ahead(s);
        return;
    }
    for (int i = 0; i < READS_PER_TURN && want == TLS_DONE && is_reading(s); i++) {
        want = wire_read(&s->wire, scratch, LOOP_SCRATCH, &n, &err);
        give(s, scratch, n);
    }
    read_ended(s, want, &err);
}

static void look_behind_end(struct stream *s)
{
    struct err err;

    if (!wire_is_alive(&s->wire, &err))
        stream_fail(s, &err);
}

static bool is_reading(const struct stream *s)
{
    return !s->is_freed && s->state == STATE_OPEN && !s->is_paused;
}

static void give(struct stream *s, const char *bytes, size_t n)
{
    if (n && s->handlers.on_bytes)
        s->handlers.on_bytes(s->arg, bytes, n);
}

/* Reading goes on in the next turn. */
static void give_ahead(struct stream *s)
{
    AUTO_CLEAR(buf) bytes = s->ahead;

    buf_init(&s->ahead, AHEAD_MAX);
    give(s, bytes.data, bytes.len);
    if (is_reading(s))
        stream_wake(s);
}

/* Only so much that a hang-up behind a few bytes is seen, and a reset in any case. */
static void read_ahead(struct stream *s)
{
    enum tls_want want = s->is_at_eof ? TLS_WANT_READ : TLS_DONE;
    char *scratch = loop_scratch(s->loop);
    struct err err;
    size_t n = 0;

    if (s->ahead.len == AHEAD_MAX)
        want = wire_is_alive(&s->wire, &err) ? TLS_DONE : TLS_FAILED;
    else if (!s->is_at_eof)
        want = wire_read(&s->wire, scratch, AHEAD_MAX - s->ahead.len, &n, &err);
    buf_add(&s->ahead, scratch, n);
    if (!buf_ok(&s->ahead, "bytes read ahead", &err))
        want = TLS_FAILED;
    read_ended(s, want, &err);
}

/* After a failed write, what the peer said before it broke is read to its end, as far as its reader
 * takes it. */
static void read_ended(struct stream *s, enum tls_want want, const struct err *err)
{
    if (s->is_freed || s->state != STATE_OPEN)
        return;
    s->is_read_blocked = want == TLS_WANT_WRITE;
    s->is_at_eof = s->is_at_eof || want == TLS_EOF;
    if (want == TLS_FAILED)
        stream_fail(s, err);
    else if (s->is_write_broken && (want != TLS_DONE || s->is_paused))
        stream_fail(s, s->failure);
    else if (s->is_at_eof)
        tell_eof(s);
    else if (want == TLS_DONE && !s->is_paused && wire_has_pending(&s->wire))
        stream_wake(s);
}

static void tell_eof(struct stream *s)
{
    if (s->is_eof_told || s->ahead.len)
        return;
    s->is_eof_told = true;
    if (s->handlers.on_eof)
        s->handlers.on_eof(s->arg);
}

static void flush(struct stream *s)
{
    enum tls_want want;
    struct err err;
    size_t n;

    if (write_queue_len(&s->queue) == 0 || s->is_write_broken)
        return;
    want = wire_write(&s->wire, write_queue_span(&s->queue), &n, &err);
    s->taken += n;
    write_queue_take(&s->queue, n);
    s->is_write_blocked = want == TLS_WANT_WRITE;
    if (want == TLS_FAILED)
        write_failed(s, &err);
    else
        tell_drained(s);
}

static void write_failed(struct stream *s, const struct err *err)
{
    write_queue_clear(&s->queue);
    remember(s, err);
    s->is_write_broken = true;
    stream_wake(s);
}

static void tell_drained(struct stream *s)
{
    if (!s->is_full || write_queue_len(&s->queue) > s->limits.low)
        return;
    s->is_full = false;
    if (s->handlers.on_drained)
        s->handlers.on_drained(s->arg);
}

/* A peer that ended without TLS's goodbye did so behind its last bytes; a reset or a deadline is
 * news at once. */
void stream_fail(struct stream *s, const struct err *err)
{
    s->is_failure_in_order = !s->is_write_broken && err->code == ERR_CLOSED && err->sys == 0;
    remember(s, err);
    s->state = STATE_FAILED;
    s->is_write_blocked = false;
    write_queue_clear(&s->queue);
    stream_wake(s);
}

/* The first failure is the cause of the others. */
static void remember(struct stream *s, const struct err *err)
{
    if (s->failure)
        return;
    s->failure = xcalloc(1, sizeof *s->failure);
    *s->failure = *err;
}

static void failed_step(struct stream *s, short what UNUSED)
{
    struct err err = *s->failure;

    if (s->is_failure_in_order && s->ahead.len) {
        if (s->is_paused)
            return;
        give_ahead(s);
        if (s->is_freed || s->state != STATE_FAILED)
            return;
    }
    s->state = STATE_DEAD;
    if (s->handlers.on_failed)
        s->handlers.on_failed(s->arg, &err);
}

static void dead_step(struct stream *s UNUSED, short what UNUSED)
{
}

void stream_write(struct stream *s, const void *bytes, size_t n)
{
    struct err err;

    s->offered += n;
    if (n == 0 || s->is_write_broken || s->state == STATE_FAILED || s->state == STATE_DEAD)
        return;
    if (!write_queue_add(&s->queue, bytes, n, &err)) {
        stream_fail(s, &err);
        return;
    }
    s->is_full = s->is_full || stream_is_full(s);
    turn_end_schedule(s->loop, &s->settling);
}

uint64_t stream_offered(const struct stream *s)
{
    return s->offered;
}

uint64_t stream_taken(const struct stream *s)
{
    return s->taken;
}

bool stream_is_full(const struct stream *s)
{
    return write_queue_len(&s->queue) > s->limits.high;
}

void stream_pause(struct stream *s)
{
    s->is_paused = true;
}

void stream_resume(struct stream *s)
{
    if (!s->is_paused)
        return;
    s->is_paused = false;
    stream_wake(s);
}

bool stream_peer_addr(struct stream *s, struct addr *out)
{
    struct addr peer = {.len = sizeof peer.u};

    if (!s->peer.len) {
        if (getpeername(s->wire.fd, &peer.u.any, &peer.len) != 0)
            return false;
        s->peer = peer;
    }
    *out = s->peer;
    return true;
}
