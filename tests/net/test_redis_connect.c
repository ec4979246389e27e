/* test_redis_connect.c - when a connection is ready, after a restart too, and what is said while it is not. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/net/redis_info.h"
#include "tests/base/run.h"
#include "tests/net/redis_client.h"

static const char *const aof[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

START_TEST(a_killed_redis_is_ready_again_only_after_a_rewrite)
{
    char before[REDIS_RUN_ID];
    struct answer a;

    connect_to(aof, 20000);
    ck_assert_int_ge(info_number("persistence", "aof_last_rewrite_time_sec:"), 0);
    snprintf(before, sizeof before, "%s", redis_run_id(redis, SPAN("")));
    ck_assert_uint_eq(strlen(before), REDIS_RUN_ID - 1);
    ask("SET kept yes");
    kill(server, SIGSTOP);
    command("SET lost maybe", &a);
    run_ms(20);
    redis_server_kill(&server);
    await(&a.done);
    ck_assert(!a.has_reply);
    ck_assert_int_eq(a.err.code, ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(a.err.text, "unknown"));
    ck_assert_uint_eq(a.calls, 1);

    server = redis_server_start(dir, aof);
    await_ready();
    ck_assert_uint_ge(lost_count, 1);
    ck_assert_str_ne(redis_run_id(redis, SPAN("")), before);
    ck_assert_int_ge(info_number("persistence", "aof_last_rewrite_time_sec:"), 0);
    ck_assert_int_eq(info_number("persistence", "aof_rewrite_in_progress:"), 0);
    ck_assert_str_eq(ask("GET kept")->text, "yes");
}
END_TEST

/* Within a moment, so that no command meets the replica that it was; the connection lives on, and so does the process. */
START_TEST(a_server_that_was_replaced_and_took_over_again_is_another_run)
{
    char before[REDIS_RUN_ID];
    const char *after;

    connect_to(no_options, 20000);
    snprintf(before, sizeof before, "%s", redis_run_id(redis, SPAN("")));
    ask("REPLICAOF 127.0.0.1 1");
    ask("REPLICAOF NO ONE");
    await_lost();
    await_ready();
    after = redis_run_id(redis, SPAN(""));
    ck_assert(strncmp(before, after, 41) == 0);
    ck_assert_str_ne(before, after);
}
END_TEST

START_TEST(one_rewrite_per_process_is_enough)
{
    struct redis_config config = config_of(2000);

    connect_to(aof, 20000);
    ck_assert_int_eq(info_number("commandstats", "cmdstat_bgrewriteaof:calls="), 1);
    redis_free(redis);
    client(&config);
    await_ready();
    ck_assert_int_eq(info_number("commandstats", "cmdstat_bgrewriteaof:calls="), 1);
}
END_TEST

START_TEST(passwords_are_given_and_a_wrong_one_is_named)
{
    static const char *const guarded[] = {"--requirepass", "right", "--user", "eve", "on",
                                          "+@all",         "~*",    ">other", NULL};
    static const struct {
        const char *user, *password, *sentence;
    } rows[] = {
        {NULL, "right", NULL},
        {"eve", "other", NULL},
        {NULL, "wrong", "refused the password: WRONGPASS"},
        {"eve", "right", "refused the password: WRONGPASS"},
        {NULL, NULL, "wants a password and none is configured: NOAUTH"},
    };
    struct redis_config config = config_of(1000);
    struct secret password;
    struct err err;

    server = redis_server_start(dir, guarded);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        config.user = rows[i].user;
        config.password = rows[i].password ? &password : NULL;
        if (rows[i].password)
            ck_assert(secret_set(&password, span_of(rows[i].password), &err));
        client(&config);
        if (!rows[i].sentence) {
            await_ready();
            ck_assert_str_eq(ask("PING")->text, "PONG");
        } else {
            do
                await_lost();
            while (lost.code != ERR_DENIED);
            ck_assert_msg(strstr(lost.text, rows[i].sentence) != NULL, "%s", lost.text);
            ck_assert_ptr_nonnull(strstr(lost.text, address));
        }
        redis_free(redis);
        redis = NULL;
    }
}
END_TEST

START_TEST(a_replica_is_refused_with_what_is_needed_instead)
{
    static const char *const replica[] = {"--replicaof", "127.0.0.1", "1", NULL};
    struct redis_config config = config_of(1000);

    server = redis_server_start(dir, replica);
    client(&config);
    do
        await_lost();
    while (!strstr(lost.text, "replica"));
    ck_assert_ptr_nonnull(strstr(lost.text, "master's address is needed"));
    ck_assert_uint_eq(ready_count, 0);
}
END_TEST

START_TEST(attempts_grow_rarer_while_nobody_answers)
{
    struct redis_config config = config_of(1000);
    int64_t begun = clock_monotonic_ms();

    client(&config);
    while (lost_count < 5)
        run_ms(5);
    ck_assert_int_ge(clock_monotonic_ms() - begun, 750); /* at 0, 50, 150, 350, 750 ms */
    ck_assert_int_eq(lost.code, ERR_UNAVAILABLE);
    server = redis_server_start(dir, no_options);
    await_ready();
}
END_TEST

static void free_in_handler(void *arg)
{
    *(bool *)arg = true;
    redis_free(redis);
    redis = NULL;
}

static void free_in_lost(void *arg, const struct err *err UNUSED)
{
    free_in_handler(arg);
}

START_TEST(the_handlers_may_free_the_client)
{
    static const struct redis_handlers handlers = {free_in_handler, free_in_lost};
    struct redis_config config = config_of(200);
    bool done = false;
    struct err err;

    redis = redis_new(loop, &config, &handlers, &done, &err); /* no server: lost at once */
    await(&done);
    connect_to(no_options, 200);
    redis_free(redis);
    done = false;
    redis = redis_new(loop, &config, &handlers, &done, &err); /* ready */
    await(&done);
    ck_assert_ptr_null(redis);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_killed_redis_is_ready_again_only_after_a_rewrite,
        a_server_that_was_replaced_and_took_over_again_is_another_run,
        one_rewrite_per_process_is_enough,
        passwords_are_given_and_a_wrong_one_is_named,
        a_replica_is_refused_with_what_is_needed_instead,
        attempts_grow_rarer_while_nobody_answers,
        the_handlers_may_free_the_client,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis_connect");
}
