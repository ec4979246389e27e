/* wire.c - the calls on sockets. SIGPIPE never comes: MSG_NOSIGNAL here, and for OpenSSL's own
 * writes it is ignored. */
#include "lib/net/wire.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BULK 16384 /* a full record */

static enum tls_want read_plain(struct wire *w, char *out, size_t size, size_t *n, struct err *err);
static enum tls_want write_plain(struct wire *w, struct span bytes, size_t *taken, struct err *err);
static bool cannot_connect(const struct addr *to, int sys, struct err *err);
static bool connection_error(int sys, struct err *err);
static bool would_block(int sys);

bool wire_connect(struct wire *w, const struct addr *to, bool *is_pending, struct err *err)
{
    int on = 1;

    w->fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return err_sys(err, "cannot make a socket");
    if (to->u.any.sa_family != AF_UNIX)
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *is_pending = connect(w->fd, &to->u.any, to->len) != 0;
    if (*is_pending && errno != EINPROGRESS)
        return cannot_connect(to, errno, err);
    return true;
}

bool wire_connected(struct wire *w, const struct addr *to, struct err *err)
{
    int sys = 0;
    socklen_t len = sizeof sys;

    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0)
        sys = errno;
    return sys == 0 || cannot_connect(to, sys, err);
}

static bool cannot_connect(const struct addr *to, int sys, struct err *err)
{
    char text[ADDR_TEXT];

    errno = sys;
    err_sys(err, "cannot connect to %s", addr_format(to, text));
    if (err)
        err->code = ERR_UNAVAILABLE;
    return false;
}

void wire_close(struct wire *w)
{
    tls_free(w->tls);
    w->tls = NULL;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

void wire_reset_on_close(struct wire *w)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* OpenSSL reads about a record at a time from the socket. To ask for more when nothing is pending
 * mostly costs a call to hear that there is none, so only a peer that sends in bulk is asked. A
 * partial record counts as pending. */
enum tls_want wire_read(struct wire *w, char *out, size_t size, size_t *n, struct err *err)
{
    enum tls_want want;
    size_t got;

    if (!w->tls)
        return read_plain(w, out, size, n, err);
    *n = 0;
    do {
        want = tls_read(w->tls, out + *n, size - *n, &got, err);
        *n += got;
    } while (want == TLS_DONE && *n < size && (*n >= BULK || tls_has_pending(w->tls)));
    return want == TLS_DONE && *n < size ? TLS_WANT_READ : want;
}

/* A short read means that the socket is empty: asking again would cost a call to hear so. */
static enum tls_want read_plain(struct wire *w, char *out, size_t size, size_t *n, struct err *err)
{
    ssize_t got;

    *n = 0;
    do
        got = recv(w->fd, out, size, 0);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return TLS_EOF;
    if (got < 0 && would_block(errno))
        return TLS_WANT_READ;
    if (got < 0) {
        connection_error(errno, err);
        return TLS_FAILED;
    }
    *n = (size_t)got;
    return *n < size ? TLS_WANT_READ : TLS_DONE;
}

/* OpenSSL takes a record of at most 16 KB a call. */
enum tls_want wire_write(struct wire *w, struct span bytes, size_t *taken, struct err *err)
{
    enum tls_want want = TLS_DONE;
    size_t n;

    if (!w->tls)
        return write_plain(w, bytes, taken, err);
    for (*taken = 0; want == TLS_DONE && *taken < bytes.len; *taken += n)
        want = tls_write(w->tls, bytes.data + *taken, bytes.len - *taken, &n, err);
    if (want == TLS_WANT_READ || want == TLS_EOF) {
        err_set(err, ERR_PROTOCOL, "the peer asked for a new handshake");
        return TLS_FAILED;
    }
    return want;
}

static enum tls_want write_plain(struct wire *w, struct span bytes, size_t *taken, struct err *err)
{
    ssize_t n;

    *taken = 0;
    do
        n = send(w->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && !would_block(errno)) {
        connection_error(errno, err);
        return TLS_FAILED;
    }
    if (n > 0)
        *taken = (size_t)n;
    return *taken < bytes.len ? TLS_WANT_WRITE : TLS_DONE;
}

static bool connection_error(int sys, struct err *err)
{
    errno = sys;
    err_sys(err, "the connection broke");
    if (err)
        err->code = ERR_CLOSED;
    return false;
}

static bool would_block(int sys)
{
    return sys == EAGAIN || sys == EWOULDBLOCK;
}

bool wire_has_pending(const struct wire *w)
{
    return w->tls && tls_has_pending(w->tls);
}

bool wire_is_alive(struct wire *w, struct err *err)
{
    int sys = 0;
    socklen_t len = sizeof sys;

    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0)
        sys = errno;
    return sys == 0 || connection_error(sys, err);
}

void wire_half_close(struct wire *w)
{
    if (w->tls)
        tls_shutdown(w->tls);
    shutdown(w->fd, SHUT_WR);
}

bool wire_discard(struct wire *w, char *scratch, size_t size)
{
    ssize_t n = recv(w->fd, scratch, size, 0);

    return n > 0 || (n < 0 && (would_block(errno) || errno == EINTR));
}
