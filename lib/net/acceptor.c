/* acceptor.c - the accept loop. When descriptors run out, one that was kept in reserve is given up for long enough to take the
 * first waiting connection and close it, so that its client learns of it; then accepting rests for a moment, because a
 * level-triggered listener would otherwise spin. */
#include "lib/net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define ACCEPTS_PER_TURN 16
#define REST_MS          100
#define LOG_EVERY_MS     60000

struct acceptor {
    int fd;
    int spare_fd;
    void (*on_accepted)(void *arg, int fd);
    void *arg;
    struct watch *watch;
    struct timer *rest;
    bool is_paused, is_resting;
    int64_t log_again_ms;
};

static void on_readable(void *arg);
static bool accept_one(struct acceptor *a);
static bool is_shortage(int error);
static void rest(struct acceptor *a, int error);
static void on_rested(void *arg);
static void watch_as_wanted(struct acceptor *a);
static int spare_open(void);

struct acceptor *acceptor_new(struct loop *loop, int listen_fd,
                              void (*on_accepted)(void *arg, int fd), void *arg)
{
    struct acceptor *a = xcalloc(1, sizeof *a);

    a->fd = listen_fd;
    a->spare_fd = spare_open();
    a->on_accepted = on_accepted;
    a->arg = arg;
    a->watch = watch_new(loop, listen_fd, on_readable, NULL, a);
    a->rest = timer_new(loop, on_rested, a);
    watch_as_wanted(a);
    return a;
}

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void watch_as_wanted(struct acceptor *a)
{
    watch_want(a->watch, !a->is_paused && !a->is_resting, false);
}

static void on_readable(void *arg)
{
    struct acceptor *a = arg;

    for (int i = 0; i < ACCEPTS_PER_TURN && !a->is_paused && !a->is_resting; i++)
        if (!accept_one(a))
            return;
}

/* False when no more are waiting. A connection that was given up before we took it is no reason to stop. */
static bool accept_one(struct acceptor *a)
{
    int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        a->on_accepted(a->arg, fd);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    if (is_shortage(errno))
        rest(a, errno);
    return true;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void rest(struct acceptor *a, int error)
{
    int64_t now = clock_monotonic_ms();

    if (a->spare_fd >= 0) {
        int fd;

        close(a->spare_fd);
        fd = accept(a->fd, NULL, NULL);
        if (fd >= 0)
            close(fd);
        a->spare_fd = spare_open();
    }
    if (now >= a->log_again_ms) {
        log_warn("accept_rests", "cannot accept connections for now: %s", strerror(error));
        a->log_again_ms = now + LOG_EVERY_MS;
    }
    a->is_resting = true;
    watch_as_wanted(a);
    timer_start(a->rest, REST_MS);
}

static void on_rested(void *arg)
{
    struct acceptor *a = arg;

    if (a->spare_fd < 0)
        a->spare_fd = spare_open();
    a->is_resting = false;
    watch_as_wanted(a);
}

void acceptor_pause(struct acceptor *a)
{
    a->is_paused = true;
    watch_as_wanted(a);
}

void acceptor_resume(struct acceptor *a)
{
    if (!a->is_paused)
        return;
    a->is_paused = false;
    watch_as_wanted(a);
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    watch_free(a->watch);
    timer_free(a->rest);
    if (a->spare_fd >= 0)
        close(a->spare_fd);
    close(a->fd);
    free(a);
}
