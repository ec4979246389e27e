/* httpd.h - an HTTP/1.1 server over streams. (HTTP/2 will give the same `struct http_request`, so handlers need not know.)
 *
 * One request at a time per connection; pipelined ones wait. The handler is asked twice: on_head, when the head is in and
 * before any body byte is read (it may reply at once, or state how large a body it takes), and on_body when the whole body
 * is in memory. It answers now or later, in one piece or as a stream. on_gone comes when the client hung up or broke before
 * the answer's end was queued; after it the request is dead. Exactly one of http_reply_end() (or http_reply()),
 * http_reply_break() and on_gone ends a request; then `on_done` (if set) is called once and the pointer is dead. No callback
 * runs inside a function called here.
 *
 * A client that ends its side of the connection while it waits for an answer has hung up, as for most servers: who half-closes
 * after a request can't be told from who went away. One that does not take an answer at `body_rate_min` has, too. A body that
 * was not read when the answer ended is read and dropped if that takes at most 64 KB, else the connection closes. */
#ifndef TOLLGATE_NET_HTTPD_H
#define TOLLGATE_NET_HTTPD_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/http1.h"
#include "lib/net/stream.h"

struct httpd;
struct http_request;

struct httpd_limits {
    struct http_limits head;
    size_t body_bytes_max;         /* the most any handler may accept */
    int64_t handshake_ms, head_ms; /* absolute */
    int64_t idle_ms;               /* keep-alive between requests */
    int64_t body_rate_min;  /* bytes a second, averaged from the body's start after 10 s of grace */
    size_t connections_max; /* further ones wait in the kernel's queue */
};

struct httpd_handler {
    void (*on_head)(void *arg,
                    struct http_request *r); /* reply, or call http_request_accept_body() */
    void (*on_body)(void *arg, struct http_request *r);
    /* The parser refused what a client sent: reply with this status in your own error shape (keep-alive is over). Of a refused
     * head only what stood before the fault is known; a request whose body is refused was in on_head before. */
    void (*on_refused)(void *arg, struct http_request *r, unsigned status, const struct err *err);
    /* The request is over, in any way, and this is the last of it; of a head that never came whole, the first too. May be null. */
    void (*on_over)(void *arg, struct http_request *r);
};

/* Serves an already listening socket, which it takes over. `tls` null: plain (unix sockets). Copies limits and handler. */
struct httpd *httpd_new(struct loop *loop, int listen_fd, struct tls_context *tls,
                        const struct httpd_limits *limits, const struct httpd_handler *handler,
                        void *arg) MUST_USE;
/* Stops accepting while another process accepts from the same socket: every connection may ask once more and is told with that
 * answer that it closes, so that no client asks into a closed one. on_idle when none is left; httpd_drain() ends those that
 * stay silent. */
void httpd_retire(struct httpd *h, void (*on_idle)(void *), void *arg);
/* Stops accepting, closes idle connections, lets requests in flight finish; on_idle when the last byte of the last one was
 * taken by its client (may be at once). */
void httpd_drain(struct httpd *h, void (*on_idle)(void *), void *arg);
void httpd_free(struct httpd *h); /* breaks what is left; not from a handler's callback */
DEFINE_AUTO(httpd)
/* Those being closed included. */
size_t httpd_connection_count(const struct httpd *h);

/* Valid until the request ends. */
const struct http_head *http_request_head(const struct http_request *r);
struct span
http_request_path(const struct http_request *r); /* target before '?', as sent (percent-encoded) */
struct span http_request_query(const struct http_request *r); /* after '?', or empty */
struct span http_request_body(const struct http_request *r);  /* from on_body on */
/* Moves the body to `out`, which the caller clears; afterwards http_request_body() is empty. */
void http_request_take_body(struct http_request *r, struct buf *out);
/* Whence the client is connected; false when that is no longer known. */
bool http_request_peer(const struct http_request *r, struct addr *out) MUST_USE;
void *http_request_data(const struct http_request *r); /* the handler's own pointer */
void http_request_set_data(struct http_request *r, void *data);
/* Another pointer of the handler's, for on_over(); null to begin with. */
void *http_request_note(const struct http_request *r);
void http_request_set_note(struct http_request *r, void *note);
/* A number of the handler's, likewise; 0 to begin with. */
int http_request_mark(const struct http_request *r);
void http_request_set_mark(struct http_request *r, int mark);
uint64_t http_request_body_bytes(const struct http_request *r); /* that came */
/* `on_gone`: the client hung up before the end; `on_done`: the request is over, in any way; both may be null. */
void http_request_watch(struct http_request *r, void (*on_gone)(void *data),
                        void (*on_done)(void *data));
/* The body may be up to `max` bytes; larger gives on_refused(413), before reading when Content-Length tells. Answers
 * 100-continue. on_body comes even when there is no body. */
void http_request_accept_body(struct http_request *r, size_t max);

/* A whole answer at once. `fields` without date, content-length and connection, which are written here. */
void http_reply(struct http_request *r, unsigned status, const struct http_field *fields,
                size_t field_count, struct span body);
/* An answer of unknown length: chunked on 1.1, until close on 1.0. What is written but not yet taken by the client may
 * reach 64 MB; more breaks the connection. */
void http_reply_start(struct http_request *r, unsigned status, const struct http_field *fields,
                      size_t field_count);
void http_reply_write(struct http_request *r, struct span bytes);
void http_reply_end(struct http_request *r);
/* The answer can't be completed: closes without a clean end, so that no client takes it for whole. */
void http_reply_break(struct http_request *r);

unsigned http_reply_status(const struct http_request *r); /* 0: no answer was begun */
bool http_reply_is_whole(const struct http_request *r);   /* it was ended, and not broken */
/* Payload bytes of this answer given to http_reply_write() (or http_reply()), and a lower bound of those that the socket has
 * taken; exact when it took all. */
uint64_t http_reply_offered(const struct http_request *r);
uint64_t http_reply_taken(const struct http_request *r);
bool http_reply_is_full(const struct http_request *r);
/* Once, when the queue fell to its low mark. */
void http_reply_on_drained(struct http_request *r, void (*on_drained)(void *data));

#endif
