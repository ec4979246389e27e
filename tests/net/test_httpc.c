/* test_httpc.c - which origins a client is made for, how a request is sent, and what counts as its reply, against a
 * stub that says it byte for byte. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/base/run.h"
#include "tests/net/httpc_fixture.h"

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
    tcase_add_loop_test(c, an_origin_is_a_scheme_a_host_and_a_port, 0, ARRAY_LEN(bad_origins));
    tcase_add_test(c, the_host_is_said_as_it_was_given);
    return run_tests(c, "httpc");
}
