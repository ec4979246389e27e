/* stream_end.c - how a stream comes to its end: in time, in order, with a reset, or behind the peer's own end. */
#include <assert.h>

#include "lib/net/linger.h"
#include "lib/net/stream_state.h"

static void timed_out(void *arg);

void stream_await_reset(struct stream *s)
{
    assert(s->is_eof_told);
    s->is_reset_awaited = true;
    stream_wake(s);
}

bool stream_was_reset(struct stream *s)
{
    return !wire_is_alive(&s->wire, NULL);
}

void stream_deadline(struct stream *s, int64_t ms, const char *sentence)
{
    s->timer_sentence = sentence;
    if (ms > 0 && !s->timer)
        s->timer = timer_new(s->loop, timed_out, s);
    if (ms > 0)
        timer_start(s->timer, ms);
    else if (s->timer)
        timer_stop(s->timer);
}

static void timed_out(void *arg)
{
    struct stream *s = arg;
    struct err err;

    if (s->state == STATE_FAILED || s->state == STATE_DEAD)
        return;
    err_set(&err, ERR_TIMEOUT, "%s", s->timer_sentence);
    stream_fail(s, &err);
}

/* What this turn queued leaves now rather than at its end: nothing can be added to it any more. */
void stream_finish(struct stream *s, void (*on_finished)(void *arg), void *arg)
{
    if (s->state == STATE_OPEN && !s->is_write_broken) {
        event_del(&s->event);
        linger(s->loop, &s->wire, &s->queue, on_finished, arg);
        on_finished = NULL;
    }
    stream_free(s);
    if (on_finished)
        on_finished(arg);
}

bool stream_leave_tls(struct stream *s)
{
    if (!s->wire.tls || !tls_met_plain_http(s->wire.tls))
        return false;
    tls_free(s->wire.tls);
    s->wire.tls = NULL;
    s->state = STATE_OPEN;
    return true;
}

void stream_reset(struct stream *s)
{
    wire_reset_on_close(&s->wire);
    stream_free(s);
}
