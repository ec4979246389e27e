/* stream.h - a connection as bytes in order: TCP or unix, plain or TLS, with back-pressure and
 * absolute deadlines.
 *
 * All writes of one loop turn leave in one write at its end. Reads are delivered from the loop's
 * scratch buffer; the handler takes every byte or keeps its own copy. Handlers never run inside
 * stream_* calls made by their owner, and after stream_free() none runs again; a handler may free
 * its stream. */
#ifndef TOLLGATE_NET_STREAM_H
#define TOLLGATE_NET_STREAM_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/addr.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"

struct stream;

/* Each may be null. on_open comes for accepted connections too. */
struct stream_handlers {
    void (*on_open)(void *arg); /* connected, and through the TLS handshake */
    void (*on_bytes)(void *arg, const char *bytes, size_t n);
    void (*on_eof)(void *arg); /* the peer will send no more (half-close) */
    /* Queued bytes fell to the low mark after having passed the high mark. */
    void (*on_drained)(void *arg);
    /* Reset, TLS error, deadline: nothing more will come. */
    void (*on_failed)(void *arg, const struct err *err);
};

struct stream_limits {
    size_t queue_max; /* a write that would queue more fails the stream with ERR_LIMIT */
    size_t high, low; /* marks for stream_is_full() and on_drained: 256 KB and 64 KB */
};

/* Whose it is: copied, and so is what it points to. */
struct stream_owner {
    const struct stream_limits *limits;
    const struct stream_handlers *handlers;
    void *arg;
};

/* Takes over `fd` (non-blocking). `tls` null: plain. */
struct stream *stream_accepted(struct loop *loop, int fd, struct tls_context *tls,
                               const struct stream_owner *owner) MUST_USE;

struct stream_peer {
    struct addr addr;
    struct tls_context *tls; /* null: plain */
    const char *tls_host;    /* what its certificate must hold */
};
struct stream *stream_connect(struct loop *loop, const struct stream_peer *peer,
                              const struct stream_owner *owner, struct err *err) MUST_USE;
void stream_free(struct stream *s); /* closes at once, dropping what is queued */
DEFINE_AUTO(stream)

/* Copies into the queue. Failure to queue or to send is reported by on_failed in a later turn. */
void stream_write(struct stream *s, const void *bytes, size_t n);
/* Bytes given to stream_write() so far, and how many of them the socket (or TLS) has taken: what
 * was handed over. */
uint64_t stream_offered(const struct stream *s);
uint64_t stream_taken(const struct stream *s);
bool stream_is_full(const struct stream *s); /* queued > high */
/* After what is queued: close_notify and half-close, read and drop until the peer closes or 2 s
 * passed, then free itself. The handlers are not called again and the caller's pointer is dead.
 * on_finished (or null) is called when it has freed itself, which may be at once. */
void stream_finish(struct stream *s, void (*on_finished)(void *arg), void *arg);
/* Inside on_failed, of a stream whose client spoke HTTP where TLS was expected: from here on all is in the clear, so that it
 * can be told before stream_finish(). False, and nothing done, of any other. */
bool stream_leave_tls(struct stream *s) MUST_USE;
/* Closes at once and, on TCP, with a reset: the peer can't take it for an end. */
void stream_reset(struct stream *s);

/* Stop reading. A hang-up is still noticed: up to 16 KB are read ahead and kept, in order, for the
 * resumption; on_eof comes while paused only if nothing stands before it, a reset at once. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* One absolute deadline at a time: `ms` from now, then on_failed with ERR_TIMEOUT and this
 * (borrowed, static) sentence. 0 removes it. */
void stream_deadline(struct stream *s, int64_t ms, const char *sentence);

/* After on_eof: a reset that comes behind the end, or has come, is told by on_failed (ERR_CLOSED, with
 * its errno), which otherwise only a write would find out. */
void stream_await_reset(struct stream *s);
/* Whether the peer has reset the connection, be it behind its end or behind a failure: it had
 * closed before it had read everything sent to it. The stream is of no use afterwards. */
bool stream_was_reset(struct stream *s);
/* Who is at the other end, asked of the kernel once; false when it no longer knows. */
bool stream_peer_addr(struct stream *s, struct addr *out) MUST_USE;

#endif
