/* httpd.c - the server: takes connections up to its maximum, and ends when the last has ended. */
#include "lib/net/httpd.h"

#include <assert.h>

#include "lib/base/mem.h"
#include "lib/net/httpd_conn.h"

#define REPLY_HEAD_MAX (1 << 20) /* handlers state far less */

static void on_accepted(void *arg, int fd);
static void on_closed(struct httpd *h);
static void free_if_over(struct httpd *h);

struct httpd *httpd_new(struct loop *loop, int listen_fd, struct tls_context *tls,
                        const struct httpd_limits *limits, const struct httpd_handler *handler,
                        void *arg)
{
    struct httpd *h = xcalloc(1, sizeof *h);

    assert(limits->body_rate_min > 0 && limits->connections_max > 0);
    h->loop = loop;
    h->tls = tls;
    h->limits = *limits;
    h->handler = *handler;
    h->arg = arg;
    h->on_closed = on_closed;
    buf_init(&h->head, REPLY_HEAD_MAX);
    h->acceptor = acceptor_new(loop, listen_fd, on_accepted, h);
    return h;
}

static void on_accepted(void *arg, int fd)
{
    struct httpd *h = arg;

    conn_new(h, fd);
    if (httpd_connection_count(h) >= h->limits.connections_max)
        acceptor_pause(h->acceptor);
}

static void on_closed(struct httpd *h)
{
    void (*on_idle)(void *) = h->on_idle;

    if (h->is_freed) {
        free_if_over(h);
        return;
    }
    if (h->acceptor && httpd_connection_count(h) < h->limits.connections_max)
        acceptor_resume(h->acceptor);
    if (on_idle && httpd_connection_count(h) == 0) {
        h->on_idle = NULL;
        on_idle(h->on_idle_arg);
    }
}

size_t httpd_connection_count(const struct httpd *h)
{
    return h->conn_count + h->finishing_count;
}

void httpd_retire(struct httpd *h, void (*on_idle)(void *), void *arg)
{
    h->is_retiring = true;
    acceptor_free(h->acceptor);
    h->acceptor = NULL;
    h->on_idle = on_idle;
    h->on_idle_arg = arg;
    on_closed(h);
}

void httpd_drain(struct httpd *h, void (*on_idle)(void *), void *arg)
{
    struct conn *next;

    h->on_idle = NULL; /* of httpd_retire(): this one speaks when all are closed */
    h->is_draining = true;
    for (struct conn *c = h->conns; c; c = next) {
        next = c->next;
        conn_close_if_idle(c);
    }
    httpd_retire(h, on_idle, arg);
}

void httpd_free(struct httpd *h)
{
    if (!h)
        return;
    h->is_freed = true;
    acceptor_free(h->acceptor);
    h->acceptor = NULL;
    h->conn_count++; /* so that the last of them does not free the server under our feet */
    while (h->conns)
        conn_die(h->conns);
    h->conn_count--;
    buf_clear(&h->head);
    free_if_over(h);
}

/* Streams that are still sending their last bytes say so when they are done; until then the memory stays. */
static void free_if_over(struct httpd *h)
{
    if (httpd_connection_count(h) == 0)
        free(h);
}
