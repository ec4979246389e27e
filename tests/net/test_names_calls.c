/* test_names_calls.c - calls to a name: which of its addresses they go to, and how they end while there is none. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/httpc.h"
#include "tests/base/run.h"
#include "tests/net/names_fixture.h"

static void be_slow(void)
{
    static const struct names_times slow = {
        .fresh_ms = 60000, .retry_ms = 60000, .answer_ms = 10000};

    names_free(names);
    names = names_new(loop, &server, &slow);
}

static const struct httpc_limits usual = {
    .idle_max = 4,
    .idle_ms = 60000,
    .connect_ms = 10000,
    .first_byte_ms = 10000,
    .between_bytes_ms = 10000,
    .head = {.head_bytes_max = 16384, .target_bytes_max = 1024},
};

struct calling {
    struct httpc *client;
    struct httpc_call *call;
    unsigned status;
    bool is_over, is_accepted;
    struct err err;
    struct calling *cancels; /* at its own end */
};

static void on_head(void *arg, const struct http_head *head)
{
    ((struct calling *)arg)->status = head->status;
}

static void on_end(void *arg, const struct err *err)
{
    struct calling *c = arg;

    ck_assert(!c->is_over);
    c->is_over = true;
    c->is_accepted = httpc_may_be_accepted(c->call);
    if (err)
        c->err = *err;
    if (c->cancels)
        httpc_cancel(c->cancels->call);
}

static struct httpc *client_to(const char *url, const struct httpc_limits *limits)
{
    struct err err;
    struct httpc *c =
        httpc_new(loop, &(struct httpc_origin){.url = url, .names = names}, limits, &err);

    ck_assert_msg(c, "%s", err.text);
    return c;
}

static void begin(struct calling *c, struct httpc *client)
{
    static const struct httpc_handlers handlers = {.on_head = on_head, .on_end = on_end};
    static const struct httpc_request request = {
        .method = {"GET", 3}, .target = {"/", 1}, .head_lines = {"", 0}, .body = {"", 0}};
    struct err err;

    *c = (struct calling){.client = client};
    c->call = httpc_call(client, &request, &handlers, c, &err);
    ck_assert_msg(c->call, "%s", err.text);
}

static void finish(struct calling *c)
{
    if (!c->is_over)
        ck_assert(loop_run_until(loop, &c->is_over, 4 * PATIENCE_MS));
}

struct stub {
    int fd;
    struct addr addr;
    struct watch *watch;
    int taken;
};

static void on_stub(void *arg)
{
    static const char reply[] = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    struct stub *s = arg;
    int fd = accept(s->fd, NULL, NULL);

    if (fd < 0)
        return;
    s->taken++;
    ck_assert_int_eq(send(fd, reply, sizeof reply - 1, MSG_NOSIGNAL), sizeof reply - 1);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void stub_open(struct stub *s)
{
    struct addr any;
    struct err err;

    *s = (struct stub){0};
    ck_assert(addr_parse("127.0.0.1:0", &any, &err));
    s->fd = addr_listen(&any, &s->addr, &err);
    s->watch = watch_new(loop, s->fd, on_stub, NULL, s);
    watch_want(s->watch, true, false);
}

static void stub_close(struct stub *s)
{
    watch_free(s->watch);
    close(s->fd);
}

/* An address where nobody listens. */
static const char *closed_address(void)
{
    static char text[ADDR_TEXT];
    struct stub s;

    stub_open(&s);
    stub_close(&s);
    return addr_format(&s.addr, text);
}

START_TEST(calls_wait_for_the_first_answer_and_go_on)
{
    struct stub stub;
    char text[ADDR_TEXT];
    AUTO_STRING line = NULL;
    struct calling calls[3];
    struct httpc *client;

    stub_open(&stub);
    line = xasprintf("%s\n", addr_format(&stub.addr, text));
    put("example", line);
    client = client_to("http://example:80", &usual);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        begin(&calls[i], client);
    httpc_pause(calls[2].call);
    httpc_resume(calls[2].call);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        finish(&calls[i]);
        ck_assert_uint_eq(calls[i].status, 204);
    }
    ck_assert_str_eq(httpc_host(client), "example:80");
    httpc_free(client);
    stub_close(&stub);
}
END_TEST

START_TEST(calls_to_no_name_end_with_the_reason_and_sent_nothing)
{
    struct calling calls[2];
    struct httpc *client;

    be_slow();
    client = client_to("http://nobody:80", &usual);
    begin(&calls[0], client);
    begin(&calls[1], client);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        finish(&calls[i]);
        ck_assert_int_eq(calls[i].err.code, ERR_UNAVAILABLE);
        ck_assert(strstr(calls[i].err.text, "nobody:80: there is no such name"));
        ck_assert(!calls[i].is_accepted);
    }
    httpc_free(client);
}
END_TEST

START_TEST(a_call_waits_no_longer_than_it_may_take_to_connect)
{
    struct httpc_limits hasty = usual;
    struct calling call;
    struct httpc *client;

    put("example", "hang\n");
    hasty.connect_ms = 50;
    client = client_to("http://example:80", &hasty);
    begin(&call, client);
    finish(&call);
    ck_assert_int_eq(call.err.code, ERR_TIMEOUT);
    httpc_free(client);
}
END_TEST

START_TEST(a_waiting_call_can_be_cancelled_also_by_the_end_of_another)
{
    struct calling calls[3];
    struct httpc *client;

    be_slow();
    client = client_to("http://nobody:80", &usual);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        begin(&calls[i], client);
    httpc_cancel(calls[0].call);
    calls[1].cancels = &calls[2];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        finish(&calls[i]);
    ck_assert_int_eq(calls[0].err.code, ERR_CANCELLED);
    ck_assert_int_eq(calls[1].err.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(calls[2].err.code, ERR_CANCELLED);
    httpc_free(client);
}
END_TEST

START_TEST(an_address_that_refuses_is_passed_over_and_then_tried_last)
{
    struct stub stub;
    char text[ADDR_TEXT];
    AUTO_STRING lines = NULL;
    struct calling call;
    struct httpc *client;

    stub_open(&stub);
    lines = xasprintf("%s\n%s\n", closed_address(), addr_format(&stub.addr, text));
    put("example", lines);
    client = client_to("http://example:80", &usual);
    for (int i = 0; i < 3; i++) {
        begin(&call, client);
        finish(&call);
        ck_assert_msg(call.status == 204, "%s", call.err.text);
    }
    ck_assert_int_eq(stub.taken, 3);
    httpc_free(client);
    stub_close(&stub);
}
END_TEST

#define QUEUE 8

/* A socket that answers no more connections: it listens, its queue is full, and nobody accepts. */
static void stub_fill(struct stub *s, int fds[QUEUE])
{
    struct addr any;
    struct err err;

    *s = (struct stub){0};
    ck_assert(addr_parse("127.0.0.1:0", &any, &err));
    s->fd = addr_listen(&any, &s->addr, &err);
    ck_assert_int_eq(listen(s->fd, 0), 0);
    for (size_t i = 0; i < QUEUE; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        ck_assert(connect(fds[i], &s->addr.u.any, s->addr.len) == 0 || errno == EINPROGRESS);
    }
}

START_TEST(an_address_that_is_silent_takes_only_its_share_of_the_time)
{
    struct httpc_limits hasty = usual;
    int fds[QUEUE];
    struct stub silent, stub;
    char first[ADDR_TEXT], second[ADDR_TEXT];
    AUTO_STRING lines = NULL;
    struct calling call;
    struct httpc *client;

    stub_fill(&silent, fds);
    stub_open(&stub);
    lines =
        xasprintf("%s\n%s\n", addr_format(&silent.addr, first), addr_format(&stub.addr, second));
    put("example", lines);
    hasty.connect_ms = 3000;
    client = client_to("http://example:80", &hasty);
    begin(&call, client);
    finish(&call);
    ck_assert_msg(call.status == 204, "%s", call.err.text);
    httpc_free(client);
    stub_close(&stub);
    close(silent.fd);
    for (size_t i = 0; i < QUEUE; i++)
        close(fds[i]);
}
END_TEST

START_TEST(when_every_address_refuses_the_call_ends_and_has_sent_nothing)
{
    AUTO_STRING lines = xasprintf("%s\n%s\n", closed_address(), closed_address());
    struct calling call;
    struct httpc *client;

    put("example", lines);
    client = client_to("http://example:80", &usual);
    begin(&call, client);
    finish(&call);
    ck_assert_int_eq(call.err.code, ERR_UNAVAILABLE);
    ck_assert(!call.is_accepted);
    httpc_free(client);
}
END_TEST

static bool is_not_closed(void *arg, const struct addr *to)
{
    char text[ADDR_TEXT];

    return strcmp(addr_format(to, text), arg) != 0;
}

/* A name may mean another address at each look: what counts is the one that would be connected to. */
START_TEST(an_address_that_may_not_be_connected_to_is_sent_nothing)
{
    struct stub good, bad;
    char text[ADDR_TEXT], bad_text[ADDR_TEXT];
    AUTO_STRING both = NULL;
    AUTO_STRING one = NULL;
    struct calling call;
    struct httpc *client;
    struct err err;

    stub_open(&good);
    stub_open(&bad);
    addr_format(&bad.addr, bad_text);
    both = xasprintf("%s\n%s\n", bad_text, addr_format(&good.addr, text));
    one = xasprintf("%s\n", bad_text);
    put("both", both);
    put("one", one);
    for (int i = 0; i < 2; i++) {
        client = httpc_new(loop,
                           &(struct httpc_origin){.url = i ? "http://one:80" : "http://both:80",
                                                  .names = names,
                                                  .may_connect = is_not_closed,
                                                  .may_connect_arg = bad_text},
                           &usual, &err);
        ck_assert_msg(client, "%s", err.text);
        begin(&call, client);
        finish(&call);
        ck_assert_int_eq(call.err.code, i ? ERR_DENIED : ERR_NONE);
        ck_assert_uint_eq(call.status, i ? 0 : 204);
        httpc_free(client);
    }
    ck_assert_ptr_nonnull(strstr(call.err.text, bad_text));
    ck_assert(!call.is_accepted);
    ck_assert_int_eq(good.taken, 1);
    ck_assert_int_eq(bad.taken, 0);
    stub_close(&good);
    stub_close(&bad);
}
END_TEST

START_TEST(what_is_no_name_is_refused)
{
    static const char *const origins[] = {"http://[::1", "http://a:b", "http://a:b:80",
                                          "http://a:70000"};
    char long_name[300] = "http://";

    memset(long_name + 7, 'x', sizeof long_name - 8);
    long_name[sizeof long_name - 1] = '\0';
    for (size_t i = 0; i <= ARRAY_LEN(origins); i++) {
        struct err err = {0};
        const char *url = i < ARRAY_LEN(origins) ? origins[i] : long_name;

        ck_assert_msg(
            !httpc_new(loop, &(struct httpc_origin){.url = url, .names = names}, &usual, &err),
            "%s", url);
        ck_assert_int_eq(err.code, ERR_INPUT);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        calls_wait_for_the_first_answer_and_go_on,
        calls_to_no_name_end_with_the_reason_and_sent_nothing,
        a_call_waits_no_longer_than_it_may_take_to_connect,
        a_waiting_call_can_be_cancelled_also_by_the_end_of_another,
        an_address_that_refuses_is_passed_over_and_then_tried_last,
        an_address_that_is_silent_takes_only_its_share_of_the_time,
        when_every_address_refuses_the_call_ends_and_has_sent_nothing,
        an_address_that_may_not_be_connected_to_is_sent_nothing,
        what_is_no_name_is_refused,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "names_calls");
}
