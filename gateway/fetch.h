/* fetch.h - one HTTP call at a time, waited for: for commands and for bringing a development
 * machine up, never for a process that serves. */
#ifndef TOLLGATE_GATEWAY_FETCH_H
#define TOLLGATE_GATEWAY_FETCH_H

#include "lib/base/buf.h"
#include "lib/net/tls.h"

struct fetch;
/* `origin`: "http://host:port", https or unix:path. `tls` is borrowed; null: plain. */
struct fetch *fetch_new(const char *origin, struct tls_context *tls, struct err *err) MUST_USE;
void fetch_free(struct fetch *f);
DEFINE_AUTO(fetch)

struct fetch_request {
    const char *method, *target;
    const char *head_lines; /* each with CRLF; null: none */
    struct span body;
    int64_t timeout_ms;
};
struct fetch_answer { /* `body` is set up, with its maximum, by the caller */
    unsigned status;
    struct buf body;
};
static inline UNUSED void fetch_answer_clear(struct fetch_answer *a)
{
    buf_clear(&a->body);
}
DEFINE_AUTO_CLEAR(fetch_answer)
/* False: no whole answer came, and unless ERR_UNAVAILABLE it is unknown whether the request was
 * acted upon. */
bool fetch_call(struct fetch *f, const struct fetch_request *request, struct fetch_answer *answer,
                struct err *err) MUST_USE;

#endif
