/* answer_stream.h - a streamed answer in whatever dialect it is: the promises are those of openai_stream.h and anthropic_stream.h. */
#ifndef TOLLGATE_BACKENDS_ANSWER_STREAM_H
#define TOLLGATE_BACKENDS_ANSWER_STREAM_H

#include "backends/openai_stream.h"

struct answer_stream;
struct answer_stream *answer_stream_new(enum dialect dialect,
                                        const struct openai_stream_plan *plan) MUST_USE;
void answer_stream_free(struct answer_stream *s);
bool answer_stream_feed(struct answer_stream *s, const char *bytes, size_t n,
                        struct err *err) MUST_USE;
bool answer_stream_is_done(const struct answer_stream *s);
bool answer_stream_end(struct answer_stream *s, struct err *err) MUST_USE;
void answer_stream_stop(struct answer_stream *s);
bool answer_stream_usage(const struct answer_stream *s, struct usage *out);

#endif
