/* test_redis.c - what becomes of a command: its reply, or the reason why there is none. */
#include <check.h>
#include <signal.h>
#include <string.h>

#include "lib/base/clock.h"
#include "tests/base/run.h"
#include "tests/net/redis_client.h"

static unsigned next_expected;
static bool all_came;

static void on_counted(void *arg, const struct redis_reply *reply, const struct err *err)
{
    const unsigned *i = arg;

    ck_assert_msg(reply != NULL, "%s", err ? err->text : "");
    ck_assert_uint_eq(*i, next_expected);
    ck_assert_int_eq(redis_reply_int(reply), (int64_t)*i + 1);
    all_came = ++next_expected == MANY;
}

START_TEST(ten_thousand_commands_at_once_are_answered_in_order)
{
    static unsigned numbers[MANY];
    struct span argv[] = {SPAN("INCR"), SPAN("counter")};

    connect_to(no_options, 20000);
    for (unsigned i = 0; i < MANY; i++) {
        numbers[i] = i;
        redis_command(redis, argv, 2, on_counted, &numbers[i]);
    }
    ck_assert_uint_eq(redis_pending(redis), MANY);
    ck_assert_uint_eq(next_expected, 0);
    await(&all_came);
    ck_assert_uint_eq(redis_pending(redis), 0);
}
END_TEST

static void on_array(void *arg, const struct redis_reply *r, const struct err *err UNUSED)
{
    const struct redis_reply *inner;

    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(redis_reply_type(r), REDIS_ARRAY);
    ck_assert_uint_eq(redis_reply_count(r), 5);
    ck_assert_int_eq(redis_reply_int(redis_reply_at(r, 0)), -7);
    ck_assert(span_equal(redis_reply_text(redis_reply_at(r, 1)), SPAN("te\0xt")));
    ck_assert_int_eq(redis_reply_type(redis_reply_at(r, 2)), REDIS_NIL);
    inner = redis_reply_at(r, 3);
    ck_assert_uint_eq(redis_reply_count(inner), 1);
    ck_assert_int_eq(redis_reply_int(redis_reply_at(inner, 0)), 1);
    ck_assert_int_eq(redis_reply_type(redis_reply_at(r, 4)), REDIS_STATUS);
    ck_assert(span_equal(redis_reply_text(redis_reply_at(r, 4)), SPAN("fine")));
    ck_assert_ptr_null(redis_reply_at(r, 5));
    ck_assert_uint_eq(redis_reply_text(r).len, 0);
    ck_assert_int_eq(redis_reply_int(inner), 0);
    *(bool *)arg = true;
}

START_TEST(a_reply_is_seen_as_the_tree_that_it_is)
{
    struct span argv[] = {SPAN("EVAL"),
                          SPAN("return {-7, ARGV[1], false, {1}, redis.status_reply('fine')}"),
                          SPAN("0"), SPAN("te\0xt")};
    bool done = false;

    connect_to(no_options, 20000);
    redis_command(redis, argv, ARRAY_LEN(argv), on_array, &done);
    await(&done);
    ck_assert_int_eq(ask("NONSENSE")->type, REDIS_ERROR);
    ck_assert(redis_is_ready(redis));
}
END_TEST

static struct redis_script adding = {.name = "adding",
                                     .text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};

static void eval(const struct redis_script *script, struct answer *a)
{
    const struct span key[] = {SPAN("sum")}, amount[] = {SPAN("3")};

    *a = (struct answer){.done = false};
    redis_eval(redis, &(struct redis_eval){script, REDIS_WORDS(key), REDIS_WORDS(amount)},
               on_answer, a);
    ck_assert(!a->done);
}

START_TEST(a_missing_script_is_loaded_once_and_every_command_runs_once)
{
    static struct answer a[500];
    int64_t sum = 0;

    redis_script_init(&adding);
    connect_to(no_options, 20000);
    for (int round = 1; round <= 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(a); i++)
            eval(&adding, &a[i]);
        for (size_t i = 0; i < ARRAY_LEN(a); i++) {
            await(&a[i].done);
            sum += 3;
            ck_assert_int_eq(a[i].type, REDIS_INT);
            ck_assert_int_eq(a[i].number, sum);
        }
        ck_assert_int_eq(info_number("commandstats", "cmdstat_script|load:calls="), round);
        ask("SCRIPT FLUSH");
    }
}
END_TEST

START_TEST(a_script_that_loading_does_not_help_is_answered_with_noscript)
{
    static const struct redis_script wrong = {
        .name = "wrong", .text = "return 1", .sha1 = "0123456789012345678901234567890123456789"};
    struct answer a;

    connect_to(no_options, 20000);
    eval(&wrong, &a);
    await(&a.done);
    ck_assert_int_eq(a.type, REDIS_ERROR);
    ck_assert_uint_eq(a.calls, 1);
    ck_assert_ptr_nonnull(strstr(a.text, "NOSCRIPT"));
}
END_TEST

START_TEST(a_redis_that_hangs_ends_what_is_pending_with_timeout)
{
    struct answer a[3];
    int64_t begin;

    connect_to(no_options, 200);
    kill(server, SIGSTOP);
    begin = clock_monotonic_ms();
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        command("PING", &a[i]);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        await(&a[i].done);
        ck_assert_int_eq(a[i].err.code, ERR_TIMEOUT);
    }
    ck_assert_int_ge(clock_monotonic_ms() - begin, 200);
    ck_assert_uint_eq(lost_count, 1);
    kill(server, SIGCONT);
    await_ready();
    ck_assert_str_eq(ask("PING")->text, "PONG");
}
END_TEST

START_TEST(a_blocking_command_may_take_longer_by_what_was_stated)
{
    struct span argv[] = {SPAN("XREAD"),   SPAN("BLOCK"), SPAN("2500"),
                          SPAN("STREAMS"), SPAN("none"),  SPAN("$")};
    struct answer a = {.done = false}, behind;

    connect_to(no_options, 2000);
    redis_command_wait(redis, &(struct redis_waiting){REDIS_WORDS(argv), SPAN(""), 2500}, on_answer,
                       &a);
    command("PING", &behind);
    await(&behind.done);
    ck_assert(a.done);
    ck_assert(a.has_reply);
    ck_assert_int_eq(a.type, REDIS_NIL);
    ck_assert_str_eq(behind.text, "PONG");
    ck_assert_uint_eq(lost_count, 0);
}
END_TEST

START_TEST(a_command_without_a_connection_fails_later_but_soon)
{
    struct redis_config config = config_of(1000);
    struct answer a, b;

    client(&config);
    command("PING", &a);
    redis_script_init(&adding);
    eval(&adding, &b);
    await(&b.done);
    ck_assert(a.done);
    ck_assert_int_eq(a.err.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(b.err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(a.calls + b.calls, 2);
}
END_TEST

START_TEST(one_more_than_may_wait_is_refused_and_the_others_are_answered)
{
    struct redis_config config = config_of(2000);
    struct answer a[4];

    server = redis_server_start(dir, no_options);
    config.pending_max = 3;
    client(&config);
    await_ready();
    for (size_t i = 0; i < 4; i++)
        command("PING", &a[i]);
    for (size_t i = 0; i < 4; i++)
        await(&a[i].done);
    ck_assert_int_eq(a[3].err.code, ERR_LIMIT);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(a[i].text, "PONG");
}
END_TEST

START_TEST(freeing_cancels_what_is_pending_each_once)
{
    struct answer a, b;

    connect_to(no_options, 20000);
    command("PING", &a);
    redis_script_init(&adding);
    eval(&adding, &b);
    redis_free(redis);
    redis = NULL;
    ck_assert_int_eq(a.err.code, ERR_CANCELLED);
    ck_assert_int_eq(b.err.code, ERR_CANCELLED);
    run_ms(50);
    ck_assert_uint_eq(a.calls + b.calls, 2);
}
END_TEST

static void free_on_reply(void *arg, const struct redis_reply *reply UNUSED,
                          const struct err *err UNUSED)
{
    (*(unsigned *)arg)++;
    redis_free(redis);
    redis = NULL;
}

START_TEST(any_callback_may_free_the_client)
{
    static const struct redis_handlers silent = {NULL, NULL};
    struct redis_config config = config_of(200);
    struct span argv[] = {SPAN("PING")};
    unsigned calls = 0;
    struct answer rest;
    struct err err;

    connect_to(no_options, 200); /* in a reply, with more behind it */
    redis_command(redis, argv, 1, free_on_reply, &calls);
    command("PING", &rest);
    await(&rest.done);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(rest.err.code, ERR_CANCELLED);

    client(&config); /* in a refusal */
    redis_command(redis, argv, 1, free_on_reply, &calls);
    command("PING", &rest);
    await(&rest.done);
    ck_assert_uint_eq(calls, 2);
    ck_assert_int_eq(rest.err.code, ERR_CANCELLED);

    client(&config); /* when the connection breaks */
    await_ready();
    kill(server, SIGSTOP);
    redis_command(redis, argv, 1, free_on_reply, &calls);
    command("PING", &rest);
    await(&rest.done);
    ck_assert_uint_eq(calls, 3);
    ck_assert_int_eq(rest.err.code, ERR_CANCELLED);
    kill(server, SIGCONT);

    redis = redis_new(loop, &config, &silent, NULL, &err); /* handlers may be null */
    while (!redis_is_ready(redis))
        run_ms(5);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        ten_thousand_commands_at_once_are_answered_in_order,
        a_reply_is_seen_as_the_tree_that_it_is,
        a_missing_script_is_loaded_once_and_every_command_runs_once,
        a_script_that_loading_does_not_help_is_answered_with_noscript,
        a_redis_that_hangs_ends_what_is_pending_with_timeout,
        a_blocking_command_may_take_longer_by_what_was_stated,
        a_command_without_a_connection_fails_later_but_soon,
        one_more_than_may_wait_is_refused_and_the_others_are_answered,
        freeing_cancels_what_is_pending_each_once,
        any_callback_may_free_the_client,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis");
}
