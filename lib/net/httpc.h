/* httpc.h - an HTTP/1.1 client: origins with keep-alive pools, one call at a time per connection.
 *
 * on_head, on_bytes … then exactly one on_end, also after httpc_cancel() (with ERR_CANCELLED); none runs inside a function
 * called here. A call whose reused connection gave not one reply byte, and whose request the peer can't have taken (nothing had
 * been sent; it reset the connection within half a second; or it ended the connection and reset it behind that end, which a
 * kernel does only where bytes had not been read), is sent again by itself, once, on a new connection. */
#ifndef TOLLGATE_NET_HTTPC_H
#define TOLLGATE_NET_HTTPC_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/http1.h"
#include "lib/net/names.h"
#include "lib/net/stream.h"

struct httpc_limits {
    size_t idle_max;          /* pooled connections kept per origin */
    int64_t idle_ms;          /* below the server's keep-alive */
    int64_t connect_ms;       /* with the name's lookup */
    int64_t first_byte_ms;    /* from the request's last byte to the reply's head */
    int64_t between_bytes_ms; /* silence inside a reply's body */
    struct http_limits head;
};

struct httpc_origin {
    const char *url;         /* "http://host:port" (or https, or unix:path for the admin socket) */
    struct tls_context *tls; /* for https */
    /* Who looks a name up; it outlives the client. Null: httpc_new() does, blocking, so only before the loop runs. */
    struct names *names;
    /* Asked of each address before it is connected to, so of what a name means at that moment. Null: all may be. */
    bool (*may_connect)(void *arg, const struct addr *to);
    void *may_connect_arg;
};
/* Whether `url` is one that httpc_new() takes; no name is looked up. */
bool httpc_url_check(const char *url, struct err *err) MUST_USE;

struct httpc;
/* Copies everything. A name has several addresses: when one can't be reached the next is tried, within connect_ms in all. */
struct httpc *httpc_new(struct loop *loop, const struct httpc_origin *origin,
                        const struct httpc_limits *limits, struct err *err) MUST_USE;
void httpc_free(struct httpc *c); /* calls in flight must have ended, on_end may be running */
DEFINE_AUTO(httpc)
const char *httpc_host(const struct httpc *c); /* "127.0.0.1:8080": the Host header's value */

struct httpc_handlers {
    void (*on_head)(void *arg, const struct http_head *head);
    void (*on_bytes)(void *arg, const char *bytes, size_t n); /* decoded body */
    /* null: the body ended as framed. A body cut short is ERR_CLOSED, a reply that is no HTTP ERR_PROTOCOL, a deadline
     * ERR_TIMEOUT; each sentence names the origin. The call is dead when this returns. */
    void (*on_end)(void *arg, const struct err *err);
};

struct httpc_request {
    struct span method, target;
    struct span
        head_lines;   /* each with its CRLF; Host, Content-Length and the blank line are added */
    struct span body; /* its bytes are borrowed until on_end */
};
struct httpc_call;
/* Returns null only when the connection could not even be begun. */
struct httpc_call *httpc_call(struct httpc *c, const struct httpc_request *request,
                              const struct httpc_handlers *handlers, void *arg,
                              struct err *err) MUST_USE;
/* True once any byte of the request may have been accepted by the peer: from then on no other backend may be tried. */
bool httpc_may_be_accepted(const struct httpc_call *call);
/* While paused nothing is delivered but an on_end for a connection that broke; silence is not counted. */
void httpc_pause(struct httpc_call *call);
void httpc_resume(struct httpc_call *call);
/* on_end comes in a later turn; the connection is closed at once. */
void httpc_cancel(struct httpc_call *call);

#endif
