/* answer_stream.c - one of two readers. */
#include "backends/answer_stream.h"

#include "backends/anthropic_stream.h"
#include "lib/base/mem.h"

struct answer_stream {
    struct openai_stream *chunks; /* null: */
    struct anthropic_stream *events;
};

struct answer_stream *answer_stream_new(enum dialect dialect, const struct openai_stream_plan *plan)
{
    const struct anthropic_stream_plan events = {plan->event_bytes_max, plan->on_event, plan->arg};
    struct answer_stream *s = xcalloc(1, sizeof *s);

    if (dialect == DIALECT_ANTHROPIC_MESSAGES)
        s->events = anthropic_stream_new(&events);
    else
        s->chunks = openai_stream_new(plan);
    return s;
}

void answer_stream_free(struct answer_stream *s)
{
    if (!s)
        return;
    openai_stream_free(s->chunks);
    anthropic_stream_free(s->events);
    free(s);
}

bool answer_stream_feed(struct answer_stream *s, const char *bytes, size_t n, struct err *err)
{
    return s->chunks ? openai_stream_feed(s->chunks, bytes, n, err)
                     : anthropic_stream_feed(s->events, bytes, n, err);
}

bool answer_stream_is_done(const struct answer_stream *s)
{
    return s->chunks ? openai_stream_is_done(s->chunks) : anthropic_stream_is_done(s->events);
}

bool answer_stream_end(struct answer_stream *s, struct err *err)
{
    return s->chunks ? openai_stream_end(s->chunks, err) : anthropic_stream_end(s->events, err);
}

void answer_stream_stop(struct answer_stream *s)
{
    s->chunks ? openai_stream_stop(s->chunks) : anthropic_stream_stop(s->events);
}

bool answer_stream_usage(const struct answer_stream *s, struct usage *out)
{
    if (s->chunks)
        return openai_stream_usage(s->chunks, out);
    anthropic_stream_usage(s->events, out);
    return true;
}
