/* sse.h - splits a server-sent event stream (WHATWG HTML, section 9.2) into events, in O(1) memory.
 *
 * Fed pieces cut anywhere; CR, LF and CRLF end lines; how it was cut never shows. It cuts the byte stream into whole events
 * (through their blank line) without changing them: on_event gets the raw bytes of one event and the span of its `data`
 * value(s). An event longer than `event_bytes_max` is handed over in parts through on_part, its data bytes decoded as they
 * come. All raw bytes handed over, joined, are the stream. (Where blank lines end in a bare CR, which no known server does, an
 * event is known to be whole only when the next byte comes.) */
#ifndef TOLLGATE_NET_SSE_H
#define TOLLGATE_NET_SSE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct sse_event {
    struct span raw;  /* as received, through the blank line */
    struct span name; /* the `event:` field, or empty */
    struct span data; /* of several data lines: joined by LF; empty for a comment or a bare event */
    bool has_data;
};

/* Spans are valid during the call, which must neither feed nor free the splitter. */
struct sse_handlers {
    void (*on_event)(void *arg, const struct sse_event *event);
    /* A long event: `raw` bytes to pass on, and the `data` bytes that they add; either may be empty, and both are in the
     * final call, which has `last`. */
    void (*on_part)(void *arg, struct span raw, struct span data, bool last);
};

struct sse;
/* Copies the handlers. `event_bytes_max` counts raw bytes. */
struct sse *sse_new(size_t event_bytes_max, const struct sse_handlers *handlers,
                    void *arg) MUST_USE;
void sse_free(struct sse *s);
DEFINE_AUTO(sse)
void sse_feed(struct sse *s, const char *bytes, size_t n);
/* True if the stream ended between events; false if bytes of an unfinished event were left (a cut stream). May hand
 * over a last event that ended in a bare CR. */
bool sse_end(struct sse *s) MUST_USE;

#endif
