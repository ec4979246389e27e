/* stream_pair.c - see stream_pair.h. */
#include "tests/net/stream_pair.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/pki.h"

#define MORE_TURNS 8

struct loop *pair_loop;
struct tls_context *pair_server_tls, *pair_client_tls;
struct stream_limits pair_limits;
bool pair_is_inside;

static char dir[] = "/tmp/tollgate-test-stream-XXXXXX";
static int listener;
static struct addr listening;

static void leave_in(struct end *e, enum handler here)
{
    struct stream *s = e->stream;

    if (e->leaves_in != here)
        return;
    e->is_gone = true;
    e->stream = NULL;
    if (e->finishes)
        stream_finish(s, NULL, NULL);
    else
        stream_free(s);
}

static struct end *called(void *arg)
{
    struct end *e = arg;

    ck_assert_msg(!pair_is_inside, "a handler ran inside a call of its owner");
    ck_assert_msg(!e->is_gone, "a handler ran after the stream was given up");
    ck_assert_msg(e->failed == 0, "a handler ran after on_failed");
    return e;
}

static void opened(void *arg)
{
    struct end *e = called(arg);

    ck_assert_uint_eq(e->opened++, 0);
    if (e->on_open)
        e->on_open(e);
    leave_in(e, OPEN);
}

static void bytes_came(void *arg, const char *bytes, size_t n)
{
    struct end *e = called(arg);

    ck_assert_uint_eq(e->opened, 1);
    ck_assert_uint_eq(e->ends, 0);
    ck_assert_uint_gt(n, 0);
    if (e->on_bytes)
        e->on_bytes(e, bytes, n);
    else
        buf_add(&e->got, bytes, n);
    leave_in(e, BYTES);
}

static void ended(void *arg)
{
    struct end *e = called(arg);

    ck_assert_uint_eq(e->ends++, 0);
    leave_in(e, END);
}

static void drained(void *arg)
{
    struct end *e = called(arg);

    e->drained++;
    if (e->on_drained)
        e->on_drained(e);
    leave_in(e, DRAINED);
}

static void failed(void *arg, const struct err *err)
{
    struct end *e = called(arg);

    e->failed++;
    e->err = *err;
    leave_in(e, FAILED);
}

const struct stream_handlers pair_handlers = {opened, bytes_came, ended, drained, failed};

void pair_make_certificates(void)
{
    AUTO_STRING ca = NULL;
    AUTO_STRING certificate = NULL;
    AUTO_STRING key = NULL;
    struct err err;

    if (!mkdtemp(dir) || !pki_ensure_dev(dir, &err))
        abort();
    ca = xasprintf("%s/ca.pem", dir);
    certificate = xasprintf("%s/server.pem", dir);
    key = xasprintf("%s/server.key", dir);
    pair_server_tls = tls_server_new(certificate, key, &err);
    pair_client_tls = tls_client_new(ca, &err);
    if (!pair_server_tls || !pair_client_tls)
        abort();
}

void pair_remove_certificates(void)
{
    static const char *const names[] = {"ca.pem", "ca.key", "server.pem", "server.key"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_STRING path = xasprintf("%s/%s", dir, names[i]);

        unlink(path);
    }
    rmdir(dir);
    tls_context_free(pair_server_tls);
    tls_context_free(pair_client_tls);
}

void pair_setup(void)
{
    struct addr any;
    struct err err;

    pair_limits = (struct stream_limits){4 << 20, 256 << 10, 64 << 10};
    pair_loop = loop_new(&err);
    ck_assert_ptr_nonnull(pair_loop);
    ck_assert(addr_parse("127.0.0.1:0", &any, &err));
    listener = addr_listen(&any, &listening, &err);
    ck_assert_int_ge(listener, 0);
}

void pair_teardown(void)
{
    loop_free(pair_loop);
    close(listener);
}

static void init(struct end *e)
{
    buf_init(&e->got, 64 << 20);
}

static void connect_end(struct end *e, bool with_tls)
{
    const struct stream_peer peer = {listening, with_tls ? pair_client_tls : NULL, "localhost"};
    struct err err;

    init(e);
    e->stream = stream_connect(pair_loop, &peer,
                               &(struct stream_owner){&pair_limits, &pair_handlers, e}, &err);
    ck_assert_msg(e->stream != NULL, "%s", err.text);
}

static void accept_end(struct end *e, bool with_tls)
{
    int fd;

    init(e);
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
        pair_run_ms(1);
    e->stream = stream_accepted(pair_loop, fd, with_tls ? pair_server_tls : NULL,
                                &(struct stream_owner){&pair_limits, &pair_handlers, e});
}

void pair_open(struct end *client, struct end *server, bool with_tls)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    connect_end(client, with_tls);
    accept_end(server, with_tls);
    while ((!client->opened || !server->opened) && clock_monotonic_ms() < until)
        pair_run_ms(1);
    ck_assert_msg(client->opened && server->opened, "%s%s", client->err.text, server->err.text);
}

int pair_raw(struct end *server, bool with_tls)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, &listening.u.any, listening.len), 0);
    accept_end(server, with_tls);
    return fd;
}

int pair_raw_server(struct end *client, bool with_tls)
{
    int fd;

    connect_end(client, with_tls);
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        pair_run_ms(1);
    return fd;
}

void pair_free(struct end *e)
{
    stream_free(e->stream);
    e->stream = NULL;
    e->is_gone = true;
    buf_clear(&e->got);
}

void pair_write(struct end *e, const void *bytes, size_t n)
{
    bool was_inside = pair_is_inside;

    pair_is_inside = true;
    stream_write(e->stream, bytes, n);
    pair_is_inside = was_inside;
}

void pair_await(bool (*is_there)(void))
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (!is_there() && clock_monotonic_ms() < until)
        pair_run_ms(1);
    ck_assert_msg(is_there(), "it did not come within %d ms", PATIENCE_MS);
}

void pair_await_over(const struct end *e)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (!e->ends && !e->failed && clock_monotonic_ms() < until)
        pair_run_ms(1);
    ck_assert_msg(e->ends || e->failed, "it was not over within %d ms", PATIENCE_MS);
}

void pair_run_ms(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(pair_loop, &never, ms));
    for (int i = 0; ms > 0 && i < MORE_TURNS; i++)
        ck_assert(!loop_run_until(pair_loop, &never, 0));
}
