/* test_httpc_httpd.c - the client against our own server: plain, over a unix socket, over TLS. */
#include <check.h>
#include <stdlib.h>

#include "lib/net/httpd.h"
#include "lib/net/pki.h"
#include "tests/base/run.h"
#include "tests/net/httpc_fixture.h"

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
    TCase *c = tcase_create("both");

    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, client_and_server_understand_each_other, 0, 3);
    return run_tests(c, "httpc_httpd");
}
