/* peer.h - the other end of a connection in tests: a plain socket on the same loop, so that it can send what no well-behaved
 * program would, and notes how the connection ended. */
#ifndef TOLLGATE_TESTS_NET_PEER_H
#define TOLLGATE_TESTS_NET_PEER_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/net/addr.h"
#include "lib/net/loop.h"

#define PATIENCE_MS 60000
#define MORE_TURNS  8

struct peer {
    struct loop *loop;
    int fd;
    struct watch *watch;
    struct buf got;
    bool is_ended, is_reset;
    const char *awaited; /* null: the end */
    bool is_satisfied;
};

static inline void peer_judge(struct peer *p)
{
    p->is_satisfied = p->is_ended || (p->awaited && p->got.data && strstr(p->got.data, p->awaited));
}

static inline void peer_readable(void *arg)
{
    struct peer *p = arg;
    char bytes[16384];
    ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n > 0) {
        buf_add(&p->got, bytes, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        p->is_ended = true;
        p->is_reset = n < 0;
        watch_want(p->watch, false, false);
    }
    peer_judge(p);
}

static inline struct peer *peer_new(struct loop *loop, int fd)
{
    struct peer *p = xcalloc(1, sizeof *p);

    p->loop = loop;
    p->fd = fd;
    buf_init(&p->got, SIZE_MAX);
    p->watch = watch_new(loop, fd, peer_readable, NULL, p);
    watch_want(p->watch, true, false);
    return p;
}

static inline struct peer *peer_connect(struct loop *loop, const struct addr *to)
{
    int fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    ck_assert_int_ge(fd, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ck_assert_int_eq(connect(fd, &to->u.any, to->len), 0);
    return peer_new(loop, fd);
}

/* Ends a connection that was not closed before; closing one whose bytes were not read sends a reset by itself. */
static inline void peer_free(struct peer *p)
{
    if (!p)
        return;
    watch_free(p->watch);
    close(p->fd);
    buf_clear(&p->got);
    free(p);
}

static inline void peer_reset(struct peer *p)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    peer_free(p);
}

static inline void peer_send(struct peer *p, struct span bytes)
{
    while (bytes.len) {
        ssize_t n = send(p->fd, bytes.data, bytes.len, MSG_NOSIGNAL);

        ck_assert_msg(n > 0, "send: %s", strerror(errno));
        bytes.data += n;
        bytes.len -= (size_t)n;
    }
}

static inline void peer_say(struct peer *p, const char *text)
{
    peer_send(p, span_of(text));
}

/* Sends as much as the socket takes without waiting; what a rude client does after it was told to stop. */
static inline ssize_t peer_push(struct peer *p, struct span bytes)
{
    return send(p->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void peer_half_close(struct peer *p)
{
    shutdown(p->fd, SHUT_WR);
}

/* Runs the loop until the text has come, or the connection ended. */
static inline bool peer_await(struct peer *p, const char *text)
{
    p->awaited = text;
    peer_judge(p);
    if (!p->is_satisfied && !loop_run_until(p->loop, &p->is_satisfied, PATIENCE_MS))
        ck_abort_msg("waited in vain for '%s'; got '%s'", text, p->got.data ? p->got.data : "");
    return p->got.data && strstr(p->got.data, text);
}

static inline void peer_await_end(struct peer *p)
{
    p->awaited = NULL;
    peer_judge(p);
    if (!p->is_satisfied && !loop_run_until(p->loop, &p->is_satisfied, PATIENCE_MS))
        ck_abort_msg("waited in vain for the end; got '%s'", p->got.data ? p->got.data : "");
}

static inline const char *peer_text(const struct peer *p)
{
    return p->got.data ? p->got.data : "";
}

static inline void peer_forget(struct peer *p)
{
    buf_truncate(&p->got, 0);
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

/* With some time, turns enough for what follows from what comes, also where the machine took the time for itself. */
static inline void pass_ms(struct loop *loop, int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
    for (int i = 0; ms > 0 && i < MORE_TURNS; i++)
        ck_assert(!loop_run_until(loop, &never, 0));
}

/* What has arrived by now is handled, and what follows from it. */
static inline void pass_turns(struct loop *loop)
{
    pass_ms(loop, 0);
    pass_ms(loop, 0);
}

static inline size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

#endif
