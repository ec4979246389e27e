/* http1_chunks.h - the chunked transfer coding (RFC 9112 section 7.1), decoded in pieces cut anywhere. */
#ifndef TOLLGATE_NET_HTTP1_CHUNKS_H
#define TOLLGATE_NET_HTTP1_CHUNKS_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define HTTP1_CHUNK_LINE_MAX     256  /* bytes of a size line with its extensions */
#define HTTP1_CHUNK_TRAILERS_MAX 8192 /* bytes of all trailer lines together */

struct http1_chunks {
    int state;
    uint64_t left;
    unsigned line; /* bytes of the present size line, or of the trailers so far */
};

void http1_chunks_init(struct http1_chunks *c);

/* Takes from `*in`; PAYLOAD returns the next run of payload, a part of the input. MORE: all was taken, give it the next
 * bytes. DONE: the body ended, `*in` is what follows. BAD (ERR_INPUT, ERR_LIMIT) is final. Extensions are skipped, trailers are
 * checked and dropped: nothing in them ever becomes a header. */
enum http1_chunk { HTTP1_CHUNK_PAYLOAD, HTTP1_CHUNK_MORE, HTTP1_CHUNK_DONE, HTTP1_CHUNK_BAD };
enum http1_chunk http1_chunks_next(struct http1_chunks *c, struct span *in, struct span *payload,
                                   struct err *err) MUST_USE;

#endif
