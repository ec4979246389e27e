/* upstream.c - blocking sockets in a thread, so that a script reads as what happens on the wire. Every wait is bounded. */
#include "tests/backends/upstream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define WAIT_S 60

struct upstream {
    int listener;
    char url[64];
    const struct upstream_step *const *scripts;
    size_t count;
    pthread_t thread;
    bool is_joined;
    struct buf requests;
    size_t connections;
    bool full_close;
};

static void *serve(void *arg);
static void run_script(struct upstream *u, int fd, const struct upstream_step *step);
static bool read_request(struct upstream *u, int fd);
static bool is_whole(struct span request);
static void send_all(int fd, const char *text, size_t n);
static void await_close(struct upstream *u, int fd);
static void limit_waits(int fd);

struct upstream *upstream_new(const struct upstream_step *const *scripts, size_t count)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct upstream *u = xcalloc(1, sizeof *u);
    socklen_t len = sizeof at;

    u->scripts = scripts;
    u->count = count;
    buf_init(&u->requests, SIZE_MAX);
    u->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    limit_waits(u->listener);
    if (bind(u->listener, (struct sockaddr *)&at, len) < 0 || listen(u->listener, 8) < 0 ||
        getsockname(u->listener, (struct sockaddr *)&at, &len) < 0)
        abort();
    snprintf(u->url, sizeof u->url, "http://127.0.0.1:%u/v1", ntohs(at.sin_port));
    if (pthread_create(&u->thread, NULL, serve, u) != 0)
        abort();
    return u;
}

static void limit_waits(int fd)
{
    const struct timeval limit = {.tv_sec = WAIT_S};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

const char *upstream_url(const struct upstream *u)
{
    return u->url;
}

static void *serve(void *arg)
{
    struct upstream *u = arg;

    for (size_t i = 0; i < u->count; i++) {
        int fd = accept(u->listener, NULL, NULL);

        if (fd < 0)
            break;
        u->connections++;
        limit_waits(fd);
        run_script(u, fd, u->scripts[i]);
        close(fd);
    }
    return NULL;
}

static void run_script(struct upstream *u, int fd, const struct upstream_step *step)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    for (; step->act != UPSTREAM_CLOSE; step++) {
        switch (step->act) {
        case UPSTREAM_READ:
            if (!read_request(u, fd))
                return;
            break;
        case UPSTREAM_SEND:
            send_all(fd, step->text, strlen(step->text));
            break;
        case UPSTREAM_REPEAT:
            for (int i = 0; i < step->n; i++)
                send_all(fd, step->text, strlen(step->text));
            break;
        case UPSTREAM_WAIT:
            usleep((useconds_t)step->n * 1000);
            break;
        case UPSTREAM_EOF:
            await_close(u, fd);
            break;
        case UPSTREAM_RESET:
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            return;
        case UPSTREAM_CLOSE:
            break;
        }
    }
}

static bool read_request(struct upstream *u, int fd)
{
    size_t start = u->requests.len;
    char bytes[4096];

    for (;;) {
        struct span so_far = {buf_span(&u->requests).data + start, u->requests.len - start};
        ssize_t n;

        if (so_far.len && is_whole(so_far))
            return true;
        n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        buf_add(&u->requests, bytes, (size_t)n);
    }
}

static bool is_whole(struct span request)
{
    const char *end = memmem(request.data, request.len, "\r\n\r\n", 4);
    const char *length = strcasestr(request.data, "\r\ncontent-length:");

    assert(!end || length);
    return end && (size_t)(request.data + request.len - end - 4) >= strtoull(length + 17, NULL, 10);
}

static void send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        text += sent;
        n -= (size_t)sent;
    }
}

/* After a half-close the peer would still take bytes; after a full one they are answered with a reset. */
static void await_close(struct upstream *u, int fd)
{
    char bytes[4096];
    ssize_t n;

    do
        n = recv(fd, bytes, sizeof bytes, 0);
    while (n > 0);
    if (n == 0) {
        (void)send(fd, "x", 1, MSG_NOSIGNAL);
        usleep(20000);
        n = send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
    }
    u->full_close = n < 0 && (errno == EPIPE || errno == ECONNRESET);
}

void upstream_join(struct upstream *u)
{
    if (!u->is_joined)
        pthread_join(u->thread, NULL);
    u->is_joined = true;
}

struct span upstream_requests(const struct upstream *u)
{
    assert(u->is_joined);
    return buf_span(&u->requests);
}

size_t upstream_connections(const struct upstream *u)
{
    assert(u->is_joined);
    return u->connections;
}

bool upstream_saw_full_close(const struct upstream *u)
{
    assert(u->is_joined);
    return u->full_close;
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    upstream_join(u);
    close(u->listener);
    buf_clear(&u->requests);
    free(u);
}
