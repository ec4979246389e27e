/* anthropic_stream.h - the answer of a streamed message, event by event: what passes on, what it counts, when it ends.
 *
 * Events pass byte for byte. Memory is O(1): one up to event_bytes_max is looked at whole, a longer one, which only a piece of content may
 * be, passes in parts as it comes. What is from message_delta on is closing. */
#ifndef TOLLGATE_BACKENDS_ANTHROPIC_STREAM_H
#define TOLLGATE_BACKENDS_ANTHROPIC_STREAM_H

#include "backends/kind.h"

struct anthropic_stream_plan {
    size_t event_bytes_max;
    /* Must not free or feed the stream; may stop it. */
    void (*on_event)(void *arg, const struct backend_event *event);
    void *arg;
};

struct anthropic_stream;
struct anthropic_stream *anthropic_stream_new(const struct anthropic_stream_plan *plan) MUST_USE;
void anthropic_stream_free(struct anthropic_stream *s);
DEFINE_AUTO(anthropic_stream)
/* Decoded bytes of the body. False: the answer is broken; then and after message_stop nothing more is taken. An error that the provider
 * reports is not passed on: whoever stopped here says so. */
bool anthropic_stream_feed(struct anthropic_stream *s, const char *bytes, size_t n,
                           struct err *err) MUST_USE;
/* message_stop was seen: the answer is complete, whatever becomes of the connection. */
bool anthropic_stream_is_done(const struct anthropic_stream *s);
/* The body ended as framed. False: it was cut short. */
bool anthropic_stream_end(struct anthropic_stream *s, struct err *err) MUST_USE;
void anthropic_stream_stop(struct anthropic_stream *s);
/* The provider's own numbers, else the output counted. Input stays as it was in `out` where nobody stated it. */
void anthropic_stream_usage(const struct anthropic_stream *s, struct usage *out);

#endif
