/* test_redis.c - the client against a real redis-server, which each test starts for itself. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/redis.h"
#include "lib/net/redis_info.h"
#include "tests/base/run.h"
#include "tests/net/redis_server.h"

#define WAIT_MS 10000
#define MANY    10000

static char dir[] = "/tmp/tollgate-test-redis-XXXXXX";
static char address[128];
static struct loop *loop;
static pid_t server;

/* What the handlers saw. */
static struct redis *redis;
static unsigned ready_count, lost_count;
static struct err lost;
static bool is_ready_seen, is_lost_seen;

/* What a command's callback saw. */
struct answer {
    bool done;
    unsigned calls;
    bool has_reply;
    enum redis_type type;
    int64_t number;
    char text[4096];
    struct err err;
};

static const char *const no_options[] = {NULL};
static const char *const aof[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

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
    AUTO_STRING command = xasprintf("rm -rf %s", dir);

    redis_free(redis);
    loop_free(loop);
    redis_server_kill(&server);
    ck_assert_int_eq(system(command), 0);
}

static void on_ready(void *arg UNUSED)
{
    ck_assert(redis_is_ready(redis));
    ready_count++;
    is_ready_seen = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    ck_assert(!redis_is_ready(redis));
    ck_assert_str_eq(redis_run_id(redis, SPAN("")), "");
    lost_count++;
    lost = *err;
    is_lost_seen = true;
}

static struct redis *client(const struct redis_config *config)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    struct err err;

    redis = redis_new(loop, config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
    return redis;
}

static struct redis_config config_of(int64_t command_ms)
{
    return (struct redis_config){
        .address = address, .connect_ms = 1000, .command_ms = command_ms, .pending_max = 2 * MANY};
}

static void await(const bool *flag)
{
    ck_assert_msg(loop_run_until(loop, flag, WAIT_MS), "nothing came within %d ms; lost: %s",
                  WAIT_MS, lost.text);
}

static void await_ready(void)
{
    is_ready_seen = false;
    await(&is_ready_seen);
}

static void await_lost(void)
{
    is_lost_seen = false;
    await(&is_lost_seen);
}

static void run_ms(int64_t ms)
{
    bool never = false;

    ck_assert(!loop_run_until(loop, &never, ms));
}

static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct answer *a = arg;

    ck_assert((reply != NULL) != (err != NULL));
    a->calls++;
    a->done = true;
    a->has_reply = reply != NULL;
    if (err) {
        a->err = *err;
        return;
    }
    a->type = redis_reply_type(reply);
    a->number = redis_reply_int(reply);
    snprintf(a->text, sizeof a->text, "%.*s", SPAN_FMT(redis_reply_text(reply)));
}

/* Splits at blanks. */
static void command(const char *words, struct answer *a)
{
    struct span argv[16];
    size_t argc = 0;

    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");

        argv[argc++] = (struct span){at, n};
        at += n;
    }
    *a = (struct answer){.done = false};
    redis_command(redis, argv, argc, on_answer, a);
    ck_assert_msg(!a->done, "the callback ran inside redis_command()");
}

static const struct answer *ask(const char *words)
{
    static struct answer a;

    command(words, &a);
    await(&a.done);
    ck_assert_msg(a.has_reply, "%s: %s", words, a.err.text);
    return &a;
}

/* A number after `name` in INFO's text, or in a line of commandstats. */
static int64_t info_number(const char *section, const char *name)
{
    char words[64];
    const char *at;

    snprintf(words, sizeof words, "INFO %s", section);
    at = strstr(ask(words)->text, name);
    ck_assert_msg(at != NULL, "INFO %s has no %s", section, name);
    return strtoll(at + strlen(name), NULL, 10);
}

static void connect_to(const char *const *options, int64_t command_ms)
{
    struct redis_config config = config_of(command_ms);

    server = redis_server_start(dir, options);
    client(&config);
    await_ready();
    lost_count = 0;
}

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

    connect_to(no_options, 5000);
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

    connect_to(no_options, 2000);
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
    connect_to(no_options, 2000);
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

    connect_to(no_options, 2000);
    eval(&wrong, &a);
    await(&a.done);
    ck_assert_int_eq(a.type, REDIS_ERROR);
    ck_assert_uint_eq(a.calls, 1);
    ck_assert_ptr_nonnull(strstr(a.text, "NOSCRIPT"));
}
END_TEST

START_TEST(a_killed_redis_is_ready_again_only_after_a_rewrite)
{
    char before[REDIS_RUN_ID];
    struct answer a;

    connect_to(aof, 2000);
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

    connect_to(no_options, 2000);
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

    connect_to(aof, 2000);
    ck_assert_int_eq(info_number("commandstats", "cmdstat_bgrewriteaof:calls="), 1);
    redis_free(redis);
    client(&config);
    await_ready();
    ck_assert_int_eq(info_number("commandstats", "cmdstat_bgrewriteaof:calls="), 1);
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
    ck_assert_int_lt(clock_monotonic_ms() - begin, 1500);
    ck_assert_uint_eq(lost_count, 1);
    kill(server, SIGCONT);
    await_ready();
    ck_assert_str_eq(ask("PING")->text, "PONG");
}
END_TEST

START_TEST(a_blocking_command_may_take_longer_by_what_was_stated)
{
    struct span argv[] = {SPAN("XREAD"),   SPAN("BLOCK"), SPAN("500"),
                          SPAN("STREAMS"), SPAN("none"),  SPAN("$")};
    struct answer a = {.done = false}, behind;

    connect_to(no_options, 150);
    redis_command_wait(redis, &(struct redis_waiting){REDIS_WORDS(argv), SPAN(""), 500}, on_answer,
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

    client(&config);
    run_ms(1000); /* at 0, 50, 150, 350, 750 ms */
    ck_assert_uint_ge(lost_count, 4);
    ck_assert_uint_le(lost_count, 5);
    ck_assert_int_eq(lost.code, ERR_UNAVAILABLE);
    server = redis_server_start(dir, no_options);
    await_ready();
}
END_TEST

START_TEST(freeing_cancels_what_is_pending_each_once)
{
    struct answer a, b;

    connect_to(no_options, 2000);
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
    run_ms(50);
    ck_assert(redis_is_ready(redis));
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
        ten_thousand_commands_at_once_are_answered_in_order,
        a_reply_is_seen_as_the_tree_that_it_is,
        a_missing_script_is_loaded_once_and_every_command_runs_once,
        a_script_that_loading_does_not_help_is_answered_with_noscript,
        a_killed_redis_is_ready_again_only_after_a_rewrite,
        a_server_that_was_replaced_and_took_over_again_is_another_run,
        one_rewrite_per_process_is_enough,
        a_redis_that_hangs_ends_what_is_pending_with_timeout,
        a_blocking_command_may_take_longer_by_what_was_stated,
        passwords_are_given_and_a_wrong_one_is_named,
        a_command_without_a_connection_fails_later_but_soon,
        one_more_than_may_wait_is_refused_and_the_others_are_answered,
        a_replica_is_refused_with_what_is_needed_instead,
        attempts_grow_rarer_while_nobody_answers,
        freeing_cancels_what_is_pending_each_once,
        any_callback_may_free_the_client,
        the_handlers_may_free_the_client,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis");
}
