/* openai_stream.h - the answer of a streamed chat completion, event by event: what passes on, what it counts, when it ends.
 *
 * Memory is O(1): an event up to event_bytes_max is looked at whole, a longer one passes in parts as it comes (and nothing
 * is cut out of it). Events pass byte for byte, but for a client that did not ask for usage: then the chunk that only states
 * usage is dropped, and a "usage" member is spliced out of the others. */
#ifndef TOLLGATE_BACKENDS_OPENAI_STREAM_H
#define TOLLGATE_BACKENDS_OPENAI_STREAM_H

#include "backends/kind.h"

struct openai_stream_plan {
    bool usage_wanted;
    int64_t choices; /* how many must finish before usage is final; 0 is taken for 1 */
    size_t event_bytes_max;
    /* Must not free or feed the stream; may stop it. */
    void (*on_event)(void *arg, const struct backend_event *event);
    void *arg;
};

struct openai_stream;
struct openai_stream *openai_stream_new(const struct openai_stream_plan *plan) MUST_USE;
void openai_stream_free(struct openai_stream *s);
DEFINE_AUTO(openai_stream)
/* Decoded bytes of the body. False: the answer is broken (no JSON, or an error that the provider reports, which was passed
 * on); then and after [DONE] nothing more is taken. */
bool openai_stream_feed(struct openai_stream *s, const char *bytes, size_t n,
                        struct err *err) MUST_USE;
/* [DONE] was seen: the answer is complete, whatever becomes of the connection. */
bool openai_stream_is_done(const struct openai_stream *s);
/* The body ended as framed. True: the answer is complete; if all choices had finished but [DONE] was missing, it is given
 * out now. False: it was cut short. */
bool openai_stream_end(struct openai_stream *s, struct err *err) MUST_USE;
/* No event comes from now on. */
void openai_stream_stop(struct openai_stream *s);
/* What is known: the provider's own numbers, else the output counted. Input stays as it was in `out` where nobody stated it.
 * False when the provider's numbers contradict each other. */
bool openai_stream_usage(const struct openai_stream *s, struct usage *out);

#endif
