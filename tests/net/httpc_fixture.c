/* httpc_fixture.c - see httpc_fixture.h. */
#include "tests/net/httpc_fixture.h"

#include <stdio.h>
#include <string.h>

struct loop *loop;
struct stub stub;
static size_t fds_before;

const struct httpc_limits usual = {
    .idle_max = 4,
    .idle_ms = PATIENCE_MS,
    .connect_ms = PATIENCE_MS,
    .first_byte_ms = PATIENCE_MS,
    .between_bytes_ms = PATIENCE_MS,
    .head = {.head_bytes_max = 1024},
};

static void stub_accept(void *arg UNUSED)
{
    int fd = accept(stub.fd, NULL, NULL), on = 1;

    ck_assert_int_ge(fd, 0);
    ck_assert_uint_lt(stub.count, STUB_PEERS);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stub.peers[stub.count++] = peer_new(loop, fd);
}

void stub_open(void)
{
    char text[ADDR_TEXT];
    struct err err;

    ck_assert(addr_parse("127.0.0.1:0", &stub.addr, &err));
    stub.fd = addr_listen(&stub.addr, &stub.addr, &err);
    ck_assert_int_ge(stub.fd, 0);
    snprintf(stub.origin, sizeof stub.origin, "http://%s", addr_format(&stub.addr, text));
    stub.watch = watch_new(loop, stub.fd, stub_accept, NULL, NULL);
    watch_want(stub.watch, true, false);
}

void stub_close(void)
{
    watch_free(stub.watch);
    close(stub.fd);
    for (size_t i = 0; i < stub.count; i++)
        peer_free(stub.peers[i]);
    memset(&stub, 0, sizeof stub);
}

void stub_await(size_t count)
{
    for (int i = 0; i < 1000 && stub.count < count; i++)
        pass_ms(loop, i < 100 ? 0 : 10);
    ck_assert_uint_eq(stub.count, count);
}

struct peer *stub_peer(size_t i)
{
    stub_await(i + 1);
    return stub.peers[i];
}

void stub_drop(size_t i, void (*drop)(struct peer *))
{
    drop(stub.peers[i]);
    stub.peers[i] = NULL;
}

static void on_head(void *arg, const struct http_head *head)
{
    struct outcome *o = arg;

    ck_assert_uint_eq(o->heads++, 0);
    o->status = head->status;
    if (o->act == CANCEL_AT_HEAD)
        httpc_cancel(o->call);
    if (o->act == PAUSE_AT_HEAD)
        httpc_pause(o->call);
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    struct outcome *o = arg;

    ck_assert_uint_eq(o->heads, 1);
    ck_assert_uint_gt(n, 0);
    buf_add(&o->body, bytes, n);
    if (o->act == CANCEL_AT_BYTES)
        httpc_cancel(o->call);
    if (o->act == PAUSE_AT_BYTES)
        httpc_pause(o->call);
}

static void on_end(void *arg, const struct err *err)
{
    struct outcome *o = arg;

    ck_assert_uint_eq(o->ends++, 0);
    o->was_accepted = httpc_may_be_accepted(o->call);
    o->is_over = true;
    o->is_ok = !err;
    if (err)
        o->err = *err;
    if (o->act == FREE_AT_END)
        httpc_free(o->client);
}

static const struct httpc_handlers handlers = {on_head, on_bytes, on_end};

void begin_with(struct outcome *o, struct httpc *c, const char *method, struct span body)
{
    const struct httpc_request request = {span_of(method), SPAN("/v1/x?y"), SPAN("accept: */*\r\n"),
                                          body};
    struct err err;
    int act = (int)o->act;

    memset(o, 0, sizeof *o);
    o->act = act;
    o->client = c;
    buf_init(&o->body, SIZE_MAX);
    o->call = httpc_call(c, &request, &handlers, o, &err);
    ck_assert_msg(o->call, "%s", err.text);
    ck_assert_uint_eq(o->heads + o->ends, 0);
}

void begin(struct outcome *o, struct httpc *c)
{
    begin_with(o, c, "GET", SPAN(""));
}

void await_over(struct outcome *o)
{
    ck_assert(loop_run_until(loop, &o->is_over, PATIENCE_MS));
    buf_clear(&o->body);
}

void await_body(struct outcome *o, const char *text)
{
    for (int i = 0; i < 1000 && !(o->body.data && strstr(o->body.data, text)); i++)
        pass_ms(loop, i < 100 ? 0 : 10);
    ck_assert(o->body.data && strstr(o->body.data, text));
}

void answer(struct peer *p, struct outcome *o)
{
    ck_assert(peer_await(p, "\r\n\r\n"));
    peer_forget(p);
    peer_say(p, OK2);
    await_over(o);
    ck_assert_msg(o->is_ok, "%s", o->err.text);
}

struct httpc *client_with(const char *origin, const struct httpc_limits *limits)
{
    struct err err;
    struct httpc *c = httpc_new(loop, &(struct httpc_origin){.url = origin}, limits, &err);

    ck_assert_msg(c, "%s", err.text);
    return c;
}

struct httpc *client_to(const char *origin)
{
    return client_with(origin, &usual);
}

void set_up(void)
{
    struct err err;

    fds_before = open_descriptors();
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    stub_open();
}

void tear_down(void)
{
    stub_close();
    loop_free(loop);
    ck_assert_uint_eq(open_descriptors(), fds_before);
}
