/* test_httpc.c - the client against servers that say, byte for byte, what a test wants (stubs), and against our own. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/net/httpc.h"
#include "lib/net/httpd.h"
#include "lib/net/pki.h"
#include "tests/base/run.h"
#include "tests/net/peer.h"

static struct loop *loop;
static size_t fds_before;

static const struct httpc_limits usual = {
    .idle_max = 4,
    .idle_ms = 2000,
    .connect_ms = 200,
    .first_byte_ms = 300,
    .between_bytes_ms = 200,
    .head = {.head_bytes_max = 1024},
};

/* --- a stub: a listening socket whose connections are peers --- */

#define STUB_PEERS 8

static struct stub {
    int fd;
    struct addr addr;
    char origin[64];
    struct watch *watch;
    struct peer *peers[STUB_PEERS];
    size_t count;
} stub;

static void stub_accept(void *arg UNUSED)
{
    int fd = accept(stub.fd, NULL, NULL), on = 1;

    ck_assert_int_ge(fd, 0);
    ck_assert_uint_lt(stub.count, STUB_PEERS);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stub.peers[stub.count++] = peer_new(loop, fd);
}

static void stub_open(void)
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

static void stub_close(void)
{
    watch_free(stub.watch);
    close(stub.fd);
    for (size_t i = 0; i < stub.count; i++)
        peer_free(stub.peers[i]);
    memset(&stub, 0, sizeof stub);
}

static void stub_await(size_t count)
{
    for (int i = 0; i < 1000 && stub.count < count; i++)
        pass_ms(loop, i < 100 ? 0 : 10);
    ck_assert_uint_eq(stub.count, count);
}

static struct peer *stub_peer(size_t i)
{
    stub_await(i + 1);
    return stub.peers[i];
}

static void stub_drop(size_t i, void (*drop)(struct peer *))
{
    drop(stub.peers[i]);
    stub.peers[i] = NULL;
}

/* --- a call and what became of it --- */

struct outcome {
    struct httpc *client;
    struct httpc_call *call;
    unsigned heads, ends, status;
    struct buf body;
    bool is_over, is_ok, was_accepted;
    struct err err;
    enum {
        NOTHING,
        CANCEL_AT_HEAD,
        CANCEL_AT_BYTES,
        PAUSE_AT_HEAD,
        PAUSE_AT_BYTES,
        FREE_AT_END
    } act;
};

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

static void begin_with(struct outcome *o, struct httpc *c, const char *method, struct span body)
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

static void begin(struct outcome *o, struct httpc *c)
{
    begin_with(o, c, "GET", SPAN(""));
}

static void await_over(struct outcome *o)
{
    ck_assert(loop_run_until(loop, &o->is_over, PATIENCE_MS));
    buf_clear(&o->body);
}

static void await_body(struct outcome *o, const char *text)
{
    for (int i = 0; i < 1000 && !(o->body.data && strstr(o->body.data, text)); i++)
        pass_ms(loop, i < 100 ? 0 : 10);
    ck_assert(o->body.data && strstr(o->body.data, text));
}

#define OK  "HTTP/1.1 200 OK\r\n"
#define OK2 OK "Content-Length: 2\r\n\r\nok"

static void answer(struct peer *p, struct outcome *o)
{
    ck_assert(peer_await(p, "\r\n\r\n"));
    peer_forget(p);
    peer_say(p, OK2);
    await_over(o);
    ck_assert_msg(o->is_ok, "%s", o->err.text);
}

static struct httpc *client_to(const char *origin)
{
    struct err err;
    struct httpc *c = httpc_new(loop, &(struct httpc_origin){.url = origin}, &usual, &err);

    ck_assert_msg(c, "%s", err.text);
    return c;
}

static void set_up(void)
{
    struct err err;

    fds_before = open_descriptors();
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
    stub_open();
}

static void tear_down(void)
{
    stub_close();
    loop_free(loop);
    ck_assert_uint_eq(open_descriptors(), fds_before);
}

#define OK  "HTTP/1.1 200 OK\r\n"
#define OK2 OK "Content-Length: 2\r\n\r\nok"

/* --- requests and replies --- */

START_TEST(a_request_is_sent_whole)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};
    char expected[256];

    ck_assert_str_eq(httpc_host(c), stub.origin + 7);
    begin_with(&o, c, "POST", SPAN("{\"a\":1}"));
    ck_assert(!httpc_may_be_accepted(o.call));
    ck_assert(peer_await(stub_peer(0), "{\"a\":1}"));
    snprintf(
        expected, sizeof expected,
        "POST /v1/x?y HTTP/1.1\r\nhost: %s\r\naccept: */*\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
        stub.origin + 7);
    ck_assert_str_eq(peer_text(stub.peers[0]), expected);
    ck_assert(httpc_may_be_accepted(o.call));
    peer_say(stub.peers[0], OK2);
    await_over(&o);
    ck_assert(o.is_ok && o.was_accepted);

    begin(&o, c);
    peer_forget(stub.peers[0]);
    ck_assert(peer_await(stub.peers[0], "\r\n\r\n"));
    ck_assert_ptr_null(strstr(peer_text(stub.peers[0]), "content-length"));
    peer_say(stub.peers[0], OK2);
    await_over(&o);
    httpc_free(c);
}
END_TEST

static const struct {
    const char *method, *reply, *body;
    unsigned status;
    bool closes; /* the stub must close for the reply to end */
    bool is_pooled;
} replies[] = {
    {"GET", OK2, "ok", 200, false, true},
    {"GET", OK "Content-Length: 0\r\n\r\n", "", 200, false, true},
    {"GET", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\n", "ok!",
     200, false, true},
    {"GET", OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", 200, false, true},
    {"GET", OK "\r\nuntil close", "until close", 200, true, false},
    {"GET", "HTTP/1.0 200 OK\r\n\r\nuntil close", "until close", 200, true, false},
    {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false, false},
    {"GET", OK "Connection: close\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false, false},
    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, false, true},
    {"HEAD", OK "Content-Length: 99\r\n\r\n", "", 200, false, true},
    {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" OK2, "ok", 200,
     false, true},
    {"POST", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno", "no", 429, false,
     true},
    {"GET", OK2 "HTTP/1.1 200 OK\r\n", "ok", 200, false, false},
};

/* Each cut at every place; a connection that is pooled is used again, else a new one is made. */
START_TEST(a_reply_may_be_cut_anywhere)
{
    struct span reply = span_of(replies[_i].reply);
    struct httpc *c = client_to(stub.origin);

    for (size_t cut = 0; cut <= reply.len; cut++) {
        struct outcome o = {0};
        struct peer *p;

        begin_with(&o, c, replies[_i].method, SPAN(""));
        p = stub_peer(stub.count ? stub.count - (stub.peers[0] != NULL) : 0);
        ck_assert(peer_await(p, "\r\n\r\n"));
        peer_forget(p);
        peer_send(p, (struct span){reply.data, cut});
        pass_turns(loop);
        if (!o.is_over)
            peer_push(p, (struct span){reply.data + cut, reply.len - cut});
        if (replies[_i].closes)
            peer_half_close(p);
        ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
        ck_assert_msg(o.is_ok, "cut at %zu: %s", cut, o.err.text);
        ck_assert_uint_eq(o.heads, 1);
        ck_assert_uint_eq(o.status, replies[_i].status);
        ck_assert_str_eq(o.body.data ? o.body.data : "", replies[_i].body);
        buf_clear(&o.body);
        if (!replies[_i].is_pooled) {
            peer_await_end(p);
            stub_drop(0, peer_free);
            stub.count = 0;
        }
    }
    httpc_free(c);
}
END_TEST

/* A reply that stops after any byte but the last is an error, and never taken for whole. */
static const char *const cut_replies[] = {
    OK "Content-Length: 5\r\n\r\nhello",
    OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
};

START_TEST(a_reply_cut_short_is_never_taken_for_whole)
{
    struct httpc *c = client_to(stub.origin);

    for (size_t n = 0; n < strlen(cut_replies[_i / 2]); n++) {
        struct outcome o = {0};

        begin(&o, c);
        ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
        peer_send(stub.peers[0], (struct span){cut_replies[_i / 2], n});
        pass_turns(loop);
        stub_drop(0, _i % 2 ? peer_reset : peer_free);
        stub.count = 0;
        await_over(&o);
        ck_assert(!o.is_ok && o.was_accepted);
        ck_assert_msg(o.err.code == ERR_CLOSED, "%s", o.err.text);
        ck_assert_ptr_nonnull(strstr(o.err.text, stub.origin));
    }
    httpc_free(c);
}
END_TEST

static const struct {
    const char *reply;
    enum err_code code;
} garbage[] = {
    {"SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL},
    {"\x15\x03\x01\x00\x02\x02\x46", ERR_PROTOCOL},
    {"HTTP/2 200\r\n\r\n", ERR_PROTOCOL},
    {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", ERR_PROTOCOL},
    {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", ERR_PROTOCOL},
    {OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", ERR_PROTOCOL},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ERR_PROTOCOL},
    {OK "Transfer-Encoding: chunked\r\n\r\nxyz", ERR_PROTOCOL},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n", ERR_PROTOCOL},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", ERR_PROTOCOL},
    {OK "A: " /* and more than a head may have */, ERR_LIMIT},
};

START_TEST(a_reply_that_is_no_http_breaks_the_protocol)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};
    char x[2000];

    memset(x, 'x', sizeof x);
    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    peer_say(stub.peers[0], garbage[_i].reply);
    if (garbage[_i].code == ERR_LIMIT)
        peer_send(stub.peers[0], (struct span){x, sizeof x});
    await_over(&o);
    ck_assert(!o.is_ok);
    ck_assert_msg(o.err.code == garbage[_i].code, "row %d: %s", _i, o.err.text);
    ck_assert_int_eq(strncmp(o.err.text, stub.origin, strlen(stub.origin)), 0);
    httpc_free(c);
}
END_TEST

/* The server answers 413 to a body of 20 MB of which it read nothing, and resets. */
START_TEST(a_reply_before_the_request_was_sent_is_read)
{
    struct httpc *c = client_to(stub.origin);
    size_t n = 20 << 20;
    char *body = calloc(1, n);
    struct outcome o = {0};

    begin_with(&o, c, "POST", (struct span){body, n});
    watch_want(stub_peer(0)->watch, false, false);
    pass_ms(loop, 20);
    peer_say(stub.peers[0], "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    if (_i)
        stub_drop(0, peer_free);
    ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
    if (o.is_ok) {
        ck_assert_uint_eq(o.status, 413);
        ck_assert_str_eq(o.body.data, "large");
    }
    ck_assert(o.is_ok || (_i && o.err.code == ERR_CLOSED));
    buf_clear(&o.body);
    begin(&o, c); /* what was not sent must not stand before the next request */
    answer(stub_peer(1), &o);
    httpc_free(c);
    free(body);
}
END_TEST

START_TEST(a_large_request_is_sent_as_the_server_takes_it)
{
    struct httpc *c = client_to(stub.origin);
    size_t n = 8 << 20;
    char *body = malloc(n);
    struct outcome o = {0};

    for (size_t i = 0; i < n; i++)
        body[i] = "abcdefg"[i % 7];
    begin_with(&o, c, "POST", (struct span){body, n});
    stub_await(1);
    for (int i = 0; i < 1000 && stub.peers[0]->got.len < n; i++)
        pass_ms(loop, 0);
    pass_ms(loop, 50);
    ck_assert_uint_gt(stub.peers[0]->got.len, n);
    ck_assert_int_eq(memcmp(stub.peers[0]->got.data + stub.peers[0]->got.len - n, body, n), 0);
    peer_say(stub.peers[0], OK2);
    await_over(&o);
    ck_assert(o.is_ok);
    httpc_free(c);
    free(body);
}
END_TEST

/* --- the pool --- */

START_TEST(the_connection_put_back_last_is_taken_first)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome a = {0}, b = {0}, again = {0};

    begin(&a, c);
    begin(&b, c);
    stub_await(2);
    answer(stub.peers[1], &b);
    answer(stub.peers[0], &a);
    for (int i = 0; i < 3; i++) {
        begin(&again, c);
        answer(stub.peers[0], &again);
    }
    ck_assert_uint_eq(stub.count, 2);
    ck_assert_str_eq(peer_text(stub.peers[1]), "");
    httpc_free(c);
    peer_await_end(stub.peers[0]);
    peer_await_end(stub.peers[1]);
}
END_TEST

static void say_unasked(struct peer *p)
{
    peer_say(p, "HTTP/1.1 408 Request Timeout\r\n\r\n");
}

static void (*const spoilings[])(struct peer *) = {peer_free, peer_reset, peer_half_close,
                                                   say_unasked};

START_TEST(an_idle_connection_that_ends_or_speaks_is_dropped)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    spoilings[_i](stub.peers[0]);
    pass_ms(loop, 20);
    if (_i < 2)
        stub.peers[0] = NULL;
    else
        peer_await_end(stub.peers[0]);
    begin(&o, c);
    answer(stub_peer(1), &o);
    httpc_free(c);
}
END_TEST

START_TEST(an_idle_connection_is_not_kept_for_ever)
{
    struct httpc_limits limits = usual;
    struct outcome o = {0}, more[3] = {{0}};
    struct httpc *c;

    limits.idle_ms = 50;
    limits.idle_max = 2;
    c = httpc_new(loop, &(struct httpc_origin){.url = stub.origin}, &limits, &(struct err){0});
    begin(&o, c);
    answer(stub_peer(0), &o);
    pass_ms(loop, 30);
    ck_assert(!stub.peers[0]->is_ended);
    peer_await_end(stub.peers[0]);

    for (size_t i = 0; i < 3; i++)
        begin(&more[i], c);
    stub_await(4);
    for (size_t i = 0; i < 3; i++)
        answer(stub.peers[1 + i], &more[i]);
    pass_turns(loop);
    ck_assert(stub.peers[3]->is_ended && !stub.peers[1]->is_ended && !stub.peers[2]->is_ended);
    httpc_free(c);
}
END_TEST

/* The server closes an idle connection while a request is on its way: we have sent, it has not read. */
START_TEST(a_request_that_met_a_closing_connection_is_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    if (_i == 0)
        stub_drop(0, peer_reset);
    else
        stub_drop(0, peer_free); /* FIN first; the reset follows when our bytes arrive */
    ck_assert(peer_await(stub_peer(1), "\r\n\r\nonce"));
    ck_assert_uint_eq(count_of(peer_text(stub.peers[1]), "POST"), 1);
    answer(stub.peers[1], &o);
    ck_assert_uint_eq(stub.count, 2);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_that_was_read_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    ck_assert(peer_await(stub.peers[0], "once"));
    stub_drop(0, peer_free);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_CLOSED);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

/* A server that dies over its work resets as well: it may have done it, so it is not asked twice. */
START_TEST(a_request_whose_connection_is_reset_later_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin_with(&o, c, "POST", SPAN("once"));
    pass_ms(loop, 600);
    stub_drop(0, _i == 0 ? peer_reset : peer_free);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_on_a_new_connection_is_never_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    stub_await(1);
    stub_drop(0, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok);
    ck_assert_int_eq(o.err.code, ERR_CLOSED);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_request_is_sent_again_only_once)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin(&o, c);
    stub_drop(0, peer_reset);
    stub_await(2);
    stub_drop(1, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 2);
    httpc_free(c);
}
END_TEST

START_TEST(after_one_byte_of_a_reply_nothing_is_sent_again)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    answer(stub_peer(0), &o);
    begin(&o, c);
    peer_say(stub.peers[0], "H");
    pass_turns(loop);
    stub_drop(0, peer_reset);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    pass_ms(loop, 20);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

/* --- servers that are not there, or silent --- */

START_TEST(a_server_that_is_not_there_is_unavailable)
{
    struct outcome o = {0};
    struct httpc *c;
    char origin[64];

    snprintf(origin, sizeof origin, "%s", stub.origin);
    stub_close();
    c = client_to(origin);
    begin(&o, c);
    await_over(&o);
    ck_assert(!o.is_ok && !o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(o.err.text, origin));
    httpc_free(c);
    stub_open();
}
END_TEST

/* A full queue of connections that nobody accepts drops what comes. */
START_TEST(a_server_that_takes_no_connection_has_a_deadline)
{
    struct outcome o = {0};
    struct httpc *c = client_to(stub.origin);
    int fds[8];

    watch_want(stub.watch, false, false);
    ck_assert_int_eq(listen(stub.fd, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], &stub.addr.u.any, stub.addr.len);
    }
    begin(&o, c);
    await_over(&o);
    ck_assert(!o.is_ok && !o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(o.err.text, "did not take the connection within 200 ms"));
    ck_assert_ptr_nonnull(strstr(o.err.text, stub.origin));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    httpc_free(c);
}
END_TEST

static const struct {
    const char *said, *sentence;
} silences[] = {
    {"", "did not begin to reply within 300 ms"},
    {"HTTP/1.1 200 OK\r\nA: ", "did not begin to reply within 300 ms"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "did not begin to reply within 300 ms"},
    {OK "Content-Length: 5\r\n\r\n", "fell silent in its reply for 200 ms"},
    {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello", "fell silent in its reply for 200 ms"},
    {OK "\r\nuntil close", "fell silent in its reply for 200 ms"},
};

START_TEST(silence_has_an_end)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    peer_say(stub.peers[0], silences[_i].said);
    pass_ms(loop, 100);
    ck_assert(!o.is_over);
    await_over(&o);
    ck_assert(!o.is_ok && o.was_accepted);
    ck_assert_int_eq(o.err.code, ERR_TIMEOUT);
    ck_assert_msg(strstr(o.err.text, silences[_i].sentence), "%s", o.err.text);
    ck_assert_ptr_nonnull(strstr(o.err.text, stub.origin));
    peer_await_end(stub.peers[0]);
    httpc_free(c);
}
END_TEST

START_TEST(a_reply_may_take_long_while_bytes_come)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    peer_say(stub.peers[0], OK "Content-Length: 10\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        pass_ms(loop, 60);
        peer_say(stub.peers[0], "x");
    }
    await_over(&o);
    ck_assert_msg(o.is_ok, "%s", o.err.text);
    httpc_free(c);
}
END_TEST

/* --- back-pressure and cancelling --- */

START_TEST(while_paused_nothing_is_delivered_and_the_server_waits)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {.act = PAUSE_AT_BYTES};
    size_t n = 32 << 20, sent = 0;
    char *bytes = malloc(n);
    char head[64];

    memset(bytes, 'x', n);
    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    snprintf(head, sizeof head, OK "Content-Length: %zu\r\n\r\n", n);
    peer_say(stub.peers[0], head);
    for (int i = 0; i < 300; i++) {
        ssize_t got = peer_push(stub.peers[0], (struct span){bytes + sent, n - sent});

        sent += got > 0 ? (size_t)got : 0;
        pass_ms(loop, 0);
    }
    pass_ms(loop, 300); /* longer than silence may last */
    ck_assert(!o.is_over);
    ck_assert_uint_lt(sent, n);
    ck_assert_uint_gt(o.body.len, 0);
    ck_assert_uint_le(o.body.len, LOOP_SCRATCH);
    o.act = NOTHING;
    httpc_resume(o.call);
    ck_assert_uint_le(o.body.len, LOOP_SCRATCH); /* nothing inside the call */
    while (sent < n) {
        ssize_t got = peer_push(stub.peers[0], (struct span){bytes + sent, n - sent});

        sent += got > 0 ? (size_t)got : 0;
        pass_ms(loop, 0);
    }
    ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
    ck_assert(o.is_ok);
    ck_assert_uint_eq(o.body.len, n);
    buf_clear(&o.body);
    httpc_free(c);
    free(bytes);
}
END_TEST

/* The whole reply, and the connection's end, came while the call was paused at its head or first bytes. */
static const char *const held_replies[] = {
    OK "Content-Length: 6\r\n\r\nab",
    OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\n",
    OK "\r\nab",
};

START_TEST(a_reply_that_ended_while_paused_ends_after_the_pause)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {.act = _i % 2 ? PAUSE_AT_HEAD : PAUSE_AT_BYTES};
    size_t kind = (size_t)_i / 2 % ARRAY_LEN(held_replies), first = strlen(held_replies[kind]);
    bool is_whole = (size_t)_i >= 2 * ARRAY_LEN(held_replies);
    char reply[128];

    begin(&o, c);
    ck_assert(peer_await(stub_peer(0), "\r\n\r\n"));
    snprintf(reply, sizeof reply, "%s%s", held_replies[kind],
             kind == 1 ? "cdef\r\n0\r\n\r\n" : "cdef");
    peer_send(stub.peers[0], (struct span){reply, is_whole ? strlen(reply) : first});
    pass_turns(loop);
    if (!is_whole)
        peer_say(stub.peers[0], reply + first);
    peer_half_close(stub.peers[0]);
    pass_ms(loop, 50);
    ck_assert(!o.is_over);
    ck_assert_uint_lt(o.body.len, _i % 2 ? 1 : 7);
    o.act = NOTHING;
    httpc_resume(o.call);
    ck_assert(loop_run_until(loop, &o.is_over, PATIENCE_MS));
    ck_assert_msg(o.is_ok, "%s", o.err.text);
    ck_assert_str_eq(o.body.data, "abcdef");
    buf_clear(&o.body);
    httpc_free(c);
}
END_TEST

START_TEST(pausing_and_resuming_at_once_changes_nothing)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {0};

    begin(&o, c);
    httpc_pause(o.call);
    httpc_resume(o.call);
    httpc_pause(o.call);
    pass_ms(loop, 20);
    httpc_resume(o.call);
    answer(stub_peer(0), &o);
    ck_assert_uint_eq(stub.count, 1);
    httpc_free(c);
}
END_TEST

/* Stages: at once, connected, asked, in on_head, in on_bytes, paused. */
START_TEST(a_cancelled_call_ends_once_and_its_connection_at_once)
{
    struct httpc *c = client_to(stub.origin);
    struct outcome o = {.act = _i == 3   ? CANCEL_AT_HEAD
                               : _i == 4 ? CANCEL_AT_BYTES
                               : _i == 5 ? PAUSE_AT_BYTES
                                         : NOTHING};

    begin(&o, c);
    if (_i >= 1)
        stub_await(1);
    if (_i >= 2)
        ck_assert(peer_await(stub.peers[0], "\r\n\r\n"));
    if (_i >= 3)
        peer_say(stub.peers[0], OK "Content-Length: 5\r\n\r\nhel");
    if (_i == 5)
        await_body(&o, "hel");
    if (_i < 3 || _i == 5) {
        httpc_cancel(o.call);
        httpc_cancel(o.call);
        ck_assert(!o.is_over);
    }
    await_over(&o);
    ck_assert(!o.is_ok);
    ck_assert_int_eq(o.err.code, ERR_CANCELLED);
    ck_assert_int_eq(o.was_accepted, _i >= 1);
    if (_i >= 1)
        peer_await_end(stub.peers[0]);
    pass_ms(loop, 20);
    ck_assert_uint_eq(o.ends, 1);
    httpc_free(c);
}
END_TEST

START_TEST(a_client_may_be_freed_when_its_last_call_ends)
{
    struct outcome o = {.act = FREE_AT_END};

    begin(&o, client_to(stub.origin));
    answer(stub_peer(0), &o);
    peer_await_end(stub.peers[0]);
}
END_TEST

/* --- origins --- */

static const char *const bad_origins[] = {
    "",
    "127.0.0.1:80",
    "ftp://127.0.0.1",
    "http://",
    "http://:80",
    "http://127.0.0.1:80/v1",
    "http://127.0.0.1:80/",
    "http://u@127.0.0.1:80",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:x",
    "https://127.0.0.1:80", /* without a context for TLS */
    "unix:",
};

START_TEST(an_origin_is_a_scheme_a_host_and_a_port)
{
    struct err err = {.code = ERR_NONE};

    ck_assert_ptr_null(
        httpc_new(loop, &(struct httpc_origin){.url = bad_origins[_i]}, &usual, &err));
    ck_assert_int_ne(err.code, ERR_NONE);
    ck_assert_uint_gt(strlen(err.text), 0);
}
END_TEST

START_TEST(the_host_is_said_as_it_was_given)
{
    static const char *const origins[][2] = {
        {"http://127.0.0.1", "127.0.0.1"}, {"http://[::1]:8080", "[::1]:8080"},
        {"http://[::1]", "[::1]"},         {"http://localhost:81", "localhost:81"},
        {"unix:/tmp/x.sock", "localhost"},
    };

    for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
        struct httpc *c = client_to(origins[i][0]);

        ck_assert_str_eq(httpc_host(c), origins[i][1]);
        httpc_free(c);
    }
}
END_TEST

/* --- client and server of our own: plain, over a unix socket, over TLS --- */

static void echo_head(void *arg UNUSED, struct http_request *r)
{
    http_request_accept_body(r, SIZE_MAX);
}

static void echo_body(void *arg UNUSED, struct http_request *r)
{
    struct span body = http_request_body(r);

    if (body.len % 2) {
        http_reply(r, 200, NULL, 0, body);
        return;
    }
    http_reply_start(r, 200, NULL, 0);
    for (size_t at = 0; at < body.len; at += 5000)
        http_reply_write(
            r, (struct span){body.data + at, body.len - at < 5000 ? body.len - at : 5000});
    http_reply_end(r);
}

static void echo_refused(void *arg UNUSED, struct http_request *r, unsigned status,
                         const struct err *err)
{
    http_reply(r, status, NULL, 0, span_of(err->text));
}

static const struct httpd_limits server_limits = {
    .head = {.head_bytes_max = 4096, .target_bytes_max = 1024},
    .body_bytes_max = 4 << 20,
    .handshake_ms = 3000,
    .head_ms = 3000,
    .idle_ms = 3000,
    .body_rate_min = 1000,
    .connections_max = 100,
};

static void read_certificates(const char *dir, struct tls_context **server,
                              struct tls_context **client)
{
    AUTO_STRING ca = xasprintf("%s/ca.pem", dir);
    AUTO_STRING certificate = xasprintf("%s/server.pem", dir);
    AUTO_STRING key = xasprintf("%s/server.key", dir);
    struct err err;

    ck_assert_msg(pki_ensure_dev(dir, &err), "%s", err.text);
    *server = tls_server_new(certificate, key, &err);
    ck_assert_msg(*server, "%s", err.text);
    *client = tls_client_new(ca, &err);
    ck_assert_msg(*client, "%s", err.text);
}

START_TEST(client_and_server_understand_each_other)
{
    static const struct httpd_handler echo = {echo_head, echo_body, echo_refused, NULL};
    static const size_t sizes[] = {0, 1, 2, 5000, 16384, 65537, 300000, 2000001, 3000000};
    char dir[] = "/tmp/tollgate-test-httpc-XXXXXX";
    struct outcome outcomes[3 * ARRAY_LEN(sizes)] = {{0}};
    char *body = malloc(3000000), text[ADDR_TEXT];
    struct tls_context *server_tls = NULL, *client_tls = NULL;
    struct httpc_limits limits = usual;
    struct httpd *server;
    struct httpc *c;
    struct addr addr;
    struct err err;
    int fd;

    limits.first_byte_ms = limits.between_bytes_ms = limits.connect_ms = PATIENCE_MS;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    if (_i == 2)
        read_certificates(dir, &server_tls, &client_tls);
    {
        AUTO_STRING where = _i == 1 ? xasprintf("unix:%s/sock", dir) : xstrdup("127.0.0.1:0");

        ck_assert(addr_parse(where, &addr, &err));
    }
    fd = addr_listen(&addr, &addr, &err);
    ck_assert_int_ge(fd, 0);
    server = httpd_new(loop, fd, server_tls, &server_limits, &echo, NULL);
    {
        AUTO_STRING origin = xasprintf("%s%s",
                                       _i == 1   ? ""
                                       : _i == 2 ? "https://"
                                                 : "http://",
                                       addr_format(&addr, text));

        c = httpc_new(loop, &(struct httpc_origin){.url = origin, .tls = client_tls}, &limits,
                      &err);
        ck_assert_msg(c, "%s", err.text);
    }
    for (size_t i = 0; i < 3000000; i++)
        body[i] = "0123456789abcdef!"[i % 17];
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
        begin_with(&outcomes[i], c, "POST", (struct span){body, sizes[i % ARRAY_LEN(sizes)]});
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
        struct outcome *o = &outcomes[i];

        ck_assert(loop_run_until(loop, &o->is_over, PATIENCE_MS));
        ck_assert_msg(o->is_ok, "%s", o->err.text);
        ck_assert_uint_eq(o->status, 200);
        ck_assert(span_equal(buf_span(&o->body), (struct span){body, sizes[i % ARRAY_LEN(sizes)]}));
        buf_clear(&o->body);
        begin_with(o, c, "POST", SPAN("once more"));
        await_over(o);
        ck_assert(o->is_ok);
    }
    httpc_free(c);
    httpd_free(server);
    tls_context_free(server_tls);
    tls_context_free(client_tls);
    free(body);
    {
        AUTO_STRING command = xasprintf("rm -rf %s", dir);

        ck_assert_int_eq(system(command), 0);
    }
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("calls");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_request_is_sent_whole);
    tcase_add_loop_test(c, a_reply_may_be_cut_anywhere, 0, ARRAY_LEN(replies));
    tcase_add_loop_test(c, a_reply_cut_short_is_never_taken_for_whole, 0,
                        2 * ARRAY_LEN(cut_replies));
    tcase_add_loop_test(c, a_reply_that_is_no_http_breaks_the_protocol, 0, ARRAY_LEN(garbage));
    tcase_add_loop_test(c, a_reply_before_the_request_was_sent_is_read, 0, 2);
    tcase_add_test(c, a_large_request_is_sent_as_the_server_takes_it);
    tcase_add_test(c, the_connection_put_back_last_is_taken_first);
    tcase_add_loop_test(c, an_idle_connection_that_ends_or_speaks_is_dropped, 0,
                        ARRAY_LEN(spoilings));
    tcase_add_test(c, an_idle_connection_is_not_kept_for_ever);
    tcase_add_loop_test(c, a_request_that_met_a_closing_connection_is_sent_again, 0, 2);
    tcase_add_test(c, a_request_that_was_read_is_never_sent_again);
    tcase_add_loop_test(c, a_request_whose_connection_is_reset_later_is_never_sent_again, 0, 2);
    tcase_add_test(c, a_request_on_a_new_connection_is_never_sent_again);
    tcase_add_test(c, a_request_is_sent_again_only_once);
    tcase_add_test(c, after_one_byte_of_a_reply_nothing_is_sent_again);
    tcase_add_test(c, a_server_that_is_not_there_is_unavailable);
    tcase_add_test(c, a_server_that_takes_no_connection_has_a_deadline);
    tcase_add_loop_test(c, silence_has_an_end, 0, ARRAY_LEN(silences));
    tcase_add_test(c, a_reply_may_take_long_while_bytes_come);
    tcase_add_test(c, while_paused_nothing_is_delivered_and_the_server_waits);
    tcase_add_loop_test(c, a_reply_that_ended_while_paused_ends_after_the_pause, 0,
                        4 * ARRAY_LEN(held_replies));
    tcase_add_test(c, pausing_and_resuming_at_once_changes_nothing);
    tcase_add_loop_test(c, a_cancelled_call_ends_once_and_its_connection_at_once, 0, 6);
    tcase_add_test(c, a_client_may_be_freed_when_its_last_call_ends);
    tcase_add_loop_test(c, an_origin_is_a_scheme_a_host_and_a_port, 0, ARRAY_LEN(bad_origins));
    tcase_add_test(c, the_host_is_said_as_it_was_given);
    tcase_add_loop_test(c, client_and_server_understand_each_other, 0, 3);
    return run_tests(c, "httpc");
}
