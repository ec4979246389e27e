/* wire.h - one non-blocking socket, plain or under TLS, with the same five outcomes for every
 * call. */
#ifndef TOLLGATE_NET_WIRE_H
#define TOLLGATE_NET_WIRE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/net/addr.h"
#include "lib/net/tls.h"

struct wire {
    int fd;
    struct tls *tls; /* null: plain */
};

/* Begins to connect; `*is_pending` until the socket is writable. TCP_NODELAY is set. */
bool wire_connect(struct wire *w, const struct addr *to, bool *is_pending,
                  struct err *err) MUST_USE;
/* Asks whether a pending connect succeeded. */
bool wire_connected(struct wire *w, const struct addr *to, struct err *err) MUST_USE;
void wire_close(struct wire *w);
/* When it will be closed, the peer gets a reset and what it did not yet get is lost (TCP only). */
void wire_reset_on_close(struct wire *w);

/* Reads until `size` bytes are there or nothing more is at hand. `*n` bytes are valid with every
 * outcome; TLS_DONE: there may be more at once. */
enum tls_want wire_read(struct wire *w, char *out, size_t size, size_t *n,
                        struct err *err) MUST_USE;
/* Writes until all is taken (TLS_DONE), the socket is full (TLS_WANT_WRITE) or it failed; `*taken`
 * is valid with each. */
enum tls_want wire_write(struct wire *w, struct span bytes, size_t *taken,
                         struct err *err) MUST_USE;
/* Bytes that no readable event will announce. */
bool wire_has_pending(const struct wire *w);
/* ERR_CLOSED if the peer reset the connection. Takes the socket's error, so the wire is of no use
 * afterwards. */
bool wire_is_alive(struct wire *w, struct err *err) MUST_USE;

void wire_half_close(struct wire *w); /* close_notify, then FIN */
/* Throws away what came, undecrypted; false once the peer has closed. */
bool wire_discard(struct wire *w, char *scratch, size_t size) MUST_USE;

#endif
