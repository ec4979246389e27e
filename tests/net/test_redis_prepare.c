/* test_redis_prepare.c - what a real Redis cannot be made to say when a test wants it: a fake one
 * reads its lines off a table, and the client must do the right thing before it calls itself
 * ready. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/redis.h"
#include "lib/net/redis_info.h"
#include "lib/net/stream.h"
#include "tests/base/run.h"

#define WAIT_MS 60000
#define RUN_ID  "0123456789abcdef0123456789abcdef01234567"

static char dir[] = "/tmp/tollgate-test-redis-XXXXXX";
static char address[128];
static struct loop *loop;
static struct redis *redis;
static bool is_ready_seen, is_lost_seen;
static struct err lost;

static void setup(void)
{
    struct err err;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/redis.sock", dir);
    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
    redis_free(redis);
    loop_free(loop);
    unlink(address + strlen("unix:"));
    rmdir(dir);
}

static void on_ready(void *arg UNUSED)
{
    is_ready_seen = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    lost = *err;
    is_lost_seen = true;
}

struct line {
    const char *command; /* what it must be asked */
    const char *reply;
};

#define REPLID            "fedcba9876543210fedcba9876543210fedcba98"
#define INFO_LINE(fields) "run_id:" RUN_ID "\r\nmaster_replid:" REPLID "\r\nrole:master\r\n" fields
#define AOF_LINE(enabled, loading, running, last, status)                                          \
    INFO_LINE("loading:" loading "\r\naof_enabled:" enabled "\r\naof_rewrite_in_progress:" running \
              "\r\naof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:" last                     \
              "\r\naof_last_bgrewrite_status:" status "\r\n")

static const struct line *lines;
static struct stream *fake;
static int fake_fd;
static const struct stream_limits limits = {1 << 20, 1 << 18, 1 << 16};

static void fake_bytes(void *arg UNUSED, const char *bytes, size_t n)
{
    AUTO_STRING asked = xstrndup(bytes, n);
    char head[32];

    ck_assert_msg(lines->command != NULL, "it was asked more than the table has: %s", asked);
    ck_assert_msg(strstr(asked, lines->command) != NULL, "%s instead of %s", asked, lines->command);
    if (lines->reply[0] == '+' || lines->reply[0] == '-') {
        stream_write(fake, lines->reply, strlen(lines->reply));
    } else {
        snprintf(head, sizeof head, "$%zu\r\n", strlen(lines->reply));
        stream_write(fake, head, strlen(head));
        stream_write(fake, lines->reply, strlen(lines->reply));
    }
    stream_write(fake, "\r\n", 2);
    lines++;
}

static void fake_accept(void *arg UNUSED)
{
    static const struct stream_handlers handlers = {.on_bytes = fake_bytes};
    int fd = accept4(fake_fd, NULL, NULL, SOCK_NONBLOCK);

    ck_assert_int_ge(fd, 0);
    stream_free(fake);
    fake = stream_accepted(loop, fd, NULL, &(struct stream_owner){&limits, &handlers, NULL});
}

static void run_fake(const struct line *table, const bool *until)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    struct redis_config config = {
        .address = address, .connect_ms = 20000, .command_ms = 20000, .pending_max = 10};
    struct watch *watch;
    struct addr addr;
    struct err err;

    ck_assert(addr_parse(address, &addr, &err));
    fake_fd = addr_listen(&addr, NULL, &err);
    ck_assert_msg(fake_fd >= 0, "%s", err.text);
    watch = watch_new(loop, fake_fd, fake_accept, NULL, NULL);
    watch_want(watch, true, false);
    lines = table;
    redis = redis_new(loop, &config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    ck_assert(loop_run_until(loop, until, WAIT_MS));
    stream_free(fake);
    watch_free(watch);
    close(fake_fd);
}

START_TEST(a_loading_redis_is_waited_for_then_rewritten_then_watched_until_done)
{
    static const struct line table[] = {
        {"INFO", "-LOADING Redis is loading the dataset in memory"},
        {"INFO", AOF_LINE("1", "1", "0", "-1", "ok")},
        {"INFO", AOF_LINE("1", "0", "0", "-1", "ok")},
        {"BGREWRITEAOF", "-ERR Background append only file rewriting already in progress"},
        {"INFO", AOF_LINE("1", "0", "1", "-1", "ok")},
        {"INFO", AOF_LINE("1", "0", "1", "-1", "ok")},
        {"INFO", AOF_LINE("1", "0", "0", "0", "ok")},
        {NULL, NULL},
    };

    run_fake(table, &is_ready_seen);
    ck_assert_str_eq(redis_run_id(redis, SPAN("")), RUN_ID "-" REPLID);
    ck_assert_ptr_null(lines->command);
    ck_assert(!is_lost_seen);
}
END_TEST

START_TEST(a_rewrite_that_failed_before_is_asked_for_again)
{
    static const struct line table[] = {
        {"INFO", AOF_LINE("1", "0", "0", "3", "err")},
        {"BGREWRITEAOF", "+Background append only file rewriting started"},
        {"INFO", AOF_LINE("1", "0", "0", "0", "ok")},
        {NULL, NULL},
    };

    run_fake(table, &is_ready_seen);
    ck_assert_ptr_null(lines->command);
}
END_TEST

START_TEST(a_rewrite_that_fails_is_no_readiness)
{
    static const struct line table[] = {
        {"INFO", AOF_LINE("1", "0", "0", "-1", "ok")},
        {"BGREWRITEAOF", "+Background append only file rewriting started"},
        {"INFO", AOF_LINE("1", "0", "0", "1", "err")},
        {NULL, NULL},
    };

    run_fake(table, &is_lost_seen);
    ck_assert_ptr_nonnull(strstr(lost.text, "could not rewrite its AOF"));
}
END_TEST

START_TEST(a_rewrite_that_is_refused_is_no_readiness)
{
    static const struct line table[] = {
        {"INFO", AOF_LINE("1", "0", "0", "-1", "ok")},
        {"BGREWRITEAOF", "-NOPERM this user has no permissions"},
        {NULL, NULL},
    };

    run_fake(table, &is_lost_seen);
    ck_assert_ptr_nonnull(strstr(lost.text, "refused to rewrite its AOF: NOPERM"));
}
END_TEST

START_TEST(without_an_aof_nothing_is_rewritten)
{
    static const struct line table[] = {
        {"INFO", AOF_LINE("0", "0", "0", "-1", "ok")},
        {NULL, NULL},
    };

    run_fake(table, &is_ready_seen);
    ck_assert_ptr_null(lines->command);
}
END_TEST

START_TEST(what_is_no_redis_is_named)
{
    static const struct line table[] = {
        {"INFO", "+HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"},
        {NULL, NULL},
    };

    run_fake(table, &is_lost_seen);
    ck_assert_int_eq(lost.code, ERR_PROTOCOL);
}
END_TEST

START_TEST(a_reply_that_nobody_asked_for_breaks_the_connection)
{
    static const struct line table[] = {
        {"INFO", "+one\r\n+two"},
        {NULL, NULL},
    };

    run_fake(table, &is_lost_seen);
    ck_assert_int_eq(lost.code, ERR_PROTOCOL);
}
END_TEST

START_TEST(addresses_that_make_no_sense_are_refused_at_once)
{
    static const char *const bad[] = {"http://127.0.0.1:1", "redis://127.0.0.1", "redis://:1",
                                      "redis://eve:secret@127.0.0.1:1", "unix:"};
    static const struct redis_handlers handlers = {NULL, NULL};
    struct redis_config config = {.connect_ms = 20000, .command_ms = 20000, .pending_max = 10};
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        config.address = bad[i];
        err.code = ERR_NONE;
        ck_assert_ptr_null(redis_new(loop, &config, &handlers, NULL, &err));
        ck_assert_int_eq(err.code, ERR_INPUT);
        ck_assert_ptr_null(strstr(err.text, "eve:secret"));
    }
}
END_TEST

START_TEST(info_without_any_of_its_fields_is_an_error_not_a_guess)
{
    static const char *const fields[] = {"run_id:" RUN_ID "\r\n",
                                         "master_replid:" REPLID "\r\n",
                                         "role:master\r\n",
                                         "loading:0\r\n",
                                         "aof_enabled:1\r\n",
                                         "aof_rewrite_in_progress:0\r\n",
                                         "aof_rewrite_scheduled:0\r\n",
                                         "aof_last_rewrite_time_sec:2\r\n",
                                         "aof_last_bgrewrite_status:ok\r\n"};
    struct redis_info info;
    struct err err;
    char text[512];

    for (size_t missing = 0; missing <= ARRAY_LEN(fields); missing++) {
        text[0] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (i != missing)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s", fields[i]);
        ck_assert_int_eq(redis_info_parse(span_of(text), &info, &err),
                         missing == ARRAY_LEN(fields));
    }
    ck_assert_str_eq(info.run_id, RUN_ID "-" REPLID);
    ck_assert(redis_info_is_run(SPAN("role:master\r\nmaster_replid:" REPLID "\r\n"), info.run_id));
    ck_assert(!redis_info_is_run(SPAN("role:slave\r\nmaster_replid:" REPLID "\r\n"), info.run_id));
    ck_assert(!redis_info_is_run(SPAN("role:master\r\nmaster_replid:" RUN_ID "\r\n"), info.run_id));
    ck_assert(!redis_info_is_run(SPAN("role:master\r\n"), info.run_id));
    ck_assert(info.is_master && info.has_aof && info.has_rewritten);
    ck_assert(!info.is_loading && !info.is_rewriting);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_loading_redis_is_waited_for_then_rewritten_then_watched_until_done,
        a_rewrite_that_failed_before_is_asked_for_again,
        a_rewrite_that_fails_is_no_readiness,
        a_rewrite_that_is_refused_is_no_readiness,
        without_an_aof_nothing_is_rewritten,
        what_is_no_redis_is_named,
        a_reply_that_nobody_asked_for_breaks_the_connection,
        addresses_that_make_no_sense_are_refused_at_once,
        info_without_any_of_its_fields_is_an_error_not_a_guess,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis_prepare");
}
