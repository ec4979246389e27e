/* test_redis_kinds.c - the client against a Cluster and sentinels that say what a test wants: where
 * commands go, when they are sent again, and that each is answered once. Real ones are in
 * tests/flow/test_redis_kinds.py. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/net/redis.h"
#include "lib/net/redis_slots.h"
#include "tests/base/run.h"
#include "tests/net/fake_redis.h"

#define WAIT_MS    60000
#define COMMAND_MS 3000

static struct loop *loop;
static struct redis *redis;
static struct fake_redis a, b, c;
static const struct fake_redis *master;   /* of all slots, by CLUSTER SLOTS */
static const struct fake_redis *redirect; /* where `a` sends commands, by `refusal` */
static const char *refusal;               /* "MOVED", "ASK", or what else is answered; null: none */
static unsigned refusals_left;
static unsigned ready_count;
static bool is_ready_seen, is_lost_seen;
static struct err lost;
static int64_t ahead_ms; /* so much later the clock is than it was */
static int64_t late_ms;  /* what a refusal takes */

struct answer {
    bool done;
    unsigned calls;
    bool has_reply;
    char text[256];
    struct err err;
};

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void);

int64_t __wrap_clock_monotonic_ms(void)
{
    return __real_clock_monotonic_ms() + ahead_ms;
}

static void on_ready(void *arg UNUSED)
{
    ready_count++;
    is_ready_seen = true;
}

static void on_lost(void *arg UNUSED, const struct err *err)
{
    lost = *err;
    is_lost_seen = true;
}

static void setup(void)
{
    struct err err;

    loop = loop_new(&err);
    ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
    redis_free(redis);
    fake_redis_stop(&a);
    fake_redis_stop(&b);
    fake_redis_stop(&c);
    loop_free(loop);
}

static void await(const bool *flag)
{
    ck_assert_msg(loop_run_until(loop, flag, WAIT_MS), "nothing came within %d ms; lost: %s",
                  WAIT_MS, lost.text);
}

static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct answer *out = arg;

    ck_assert((reply != NULL) != (err != NULL));
    out->calls++;
    out->done = true;
    out->has_reply = reply != NULL;
    if (err)
        out->err = *err;
    else
        snprintf(out->text, sizeof out->text, "%.*s", SPAN_FMT(redis_reply_text(reply)));
}

static void get(const char *key, struct answer *out)
{
    const struct span argv[] = {SPAN("GET"), span_of(key)};

    *out = (struct answer){.done = false};
    redis_command(redis, argv, ARRAY_LEN(argv), on_answer, out);
}

static const struct answer *ask(const char *key)
{
    static struct answer answer;

    get(key, &answer);
    await(&answer.done);
    return &answer;
}

static void say_slots(struct buf *reply)
{
    unsigned port = (unsigned)number_of(strrchr(master->where, ':') + 1);

    buf_printf(reply, "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$2\r\nid\r\n",
               port);
}

static bool is_command(const char *words, const char *name)
{
    return strncmp(words, name, strlen(name)) == 0;
}

/* Refuses as the test wants, else says who it is. */
static void answer_as_member(struct fake_redis *f, const char *words, struct buf *reply)
{
    if (is_command(words, "CLUSTER SLOTS")) {
        say_slots(reply);
    } else if (is_command(words, "ASKING") || is_command(words, "SCRIPT LOAD")) {
        buf_add_string(reply, "+OK\r\n");
    } else if (refusals_left && f == &a) {
        refusals_left--;
        ahead_ms += late_ms;
        if (redirect)
            buf_printf(reply, "-%s %u %s\r\n", refusal, redis_slot_of(SPAN("key")),
                       redirect->where);
        else
            buf_printf(reply, "-%s\r\n", refusal);
    } else {
        buf_printf(reply, "+%s\r\n", f == &a ? "a" : f == &b ? "b" : "c");
    }
}

static void connect_to(const char *address)
{
    static const struct redis_handlers handlers = {on_ready, on_lost};
    const struct redis_config config = {
        .address = address, .connect_ms = 20000, .command_ms = COMMAND_MS, .pending_max = 100};
    struct err err;

    redis = redis_new(loop, &config, &handlers, NULL, &err);
    ck_assert_msg(redis != NULL, "%s", err.text);
}

/* A Cluster of `a`, which has all slots, and `b`, which the client has not heard of yet. */
static void connect_to_cluster(void)
{
    AUTO_STRING address = NULL;

    fake_redis_start(&a, loop, 'a', true, answer_as_member);
    fake_redis_start(&b, loop, 'b', true, answer_as_member);
    master = &a;
    address = xasprintf("redis-cluster://%s", a.where);
    connect_to(address);
    await(&is_ready_seen);
    while (!redis_is_ready(redis)) {
        is_ready_seen = false;
        await(&is_ready_seen);
    }
    a.asked = b.asked = 0;
}

static void refuse(unsigned times, const char *what, const struct fake_redis *to)
{
    refusals_left = times;
    refusal = what;
    redirect = to;
}

START_TEST(a_slot_that_moved_is_asked_for_there_from_then_on)
{
    connect_to_cluster();
    uint64_t before = redis_term(redis, SPAN("key"));

    ck_assert_str_eq(ask("key")->text, "a");
    refuse(1, "MOVED", &b);
    master = &b;
    ck_assert_str_eq(ask("key")->text, "b");
    ck_assert_str_eq(ask("key")->text, "b");
    ck_assert_uint_eq(refusals_left, 0);
    ck_assert_uint_ne(redis_term(redis, SPAN("key")), before);
    ck_assert_str_eq(redis_run_id(redis, SPAN("key")), b.run_id);
    ck_assert_uint_ge(ready_count, 2);
}
END_TEST

START_TEST(a_key_that_may_be_elsewhere_is_asked_for_there_once)
{
    connect_to_cluster();
    refuse(1, "ASK", &b);
    ck_assert_str_eq(ask("key")->text, "b");
    ck_assert_str_eq(b.last, "GET key");
    ck_assert_uint_eq(b.asked, 2); /* ASKING stood before it */
    ck_assert_str_eq(ask("key")->text, "a");
    ck_assert_str_eq(redis_run_id(redis, SPAN("key")), a.run_id);
}
END_TEST

START_TEST(what_is_refused_for_now_is_sent_again_until_it_is_done)
{
    static const char *const now[] = {"TRYAGAIN x", "CLUSTERDOWN x", "LOADING x", "BUSY x"};

    connect_to_cluster();
    for (size_t i = 0; i < ARRAY_LEN(now); i++) {
        const struct answer *answer;

        refuse(3, now[i], NULL);
        answer = ask("key");
        ck_assert_str_eq(answer->text, "a");
        ck_assert_uint_eq(answer->calls, 1);
        ck_assert_uint_eq(refusals_left, 0);
    }
    ck_assert_uint_eq(redis_pending(redis), 0);
}
END_TEST

START_TEST(what_is_refused_for_too_long_was_not_done)
{
    const struct answer *answer;

    connect_to_cluster();
    refuse(UINT32_MAX, "TRYAGAIN Multiple keys", NULL);
    answer = ask("key");
    ck_assert(!answer->has_reply);
    ck_assert_int_eq(answer->err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(answer->err.text, "TRYAGAIN Multiple keys"));
    ck_assert_uint_gt(a.asked, 3);
    ck_assert_uint_le(a.asked, COMMAND_MS / 20 + 10);
}
END_TEST

/* The rest of its time is too short for any server, and a server that is late loses all that it was asked. */
START_TEST(what_is_refused_late_is_not_sent_again)
{
    const struct answer *answer;

    connect_to_cluster();
    late_ms = COMMAND_MS * 4 / 5;
    refuse(1, "TRYAGAIN Multiple keys", NULL);
    answer = ask("key");
    ck_assert_int_eq(answer->err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(a.asked, 1);
    ck_assert(!is_lost_seen);
    ck_assert_str_eq(ask("key")->text, "a");
}
END_TEST

START_TEST(servers_that_point_at_each_other_end_in_a_refusal)
{
    const struct answer *answer;

    connect_to_cluster();
    refuse(UINT32_MAX, "MOVED", &a);
    answer = ask("key");
    ck_assert_int_eq(answer->err.code, ERR_UNAVAILABLE);
    ck_assert_uint_le(a.asked, 4 * (COMMAND_MS / 20 + 10));
}
END_TEST

START_TEST(a_server_that_is_no_master_any_more_is_looked_at_anew)
{
    unsigned before;

    connect_to_cluster();
    before = a.connections;
    refuse(1, "READONLY x", NULL);
    ck_assert_str_eq(ask("key")->text, "a");
    ck_assert(is_lost_seen);
    ck_assert_ptr_nonnull(strstr(lost.text, "no master any more: READONLY"));
    ck_assert_uint_gt(a.connections, before);
}
END_TEST

START_TEST(every_other_error_is_a_reply)
{
    connect_to_cluster();
    refuse(1, "OOM command not allowed", NULL);
    ck_assert_str_eq(ask("key")->text, "OOM command not allowed");
    refuse(1, "MOVED nowhere", NULL);
    ck_assert_str_eq(ask("key")->text, "MOVED nowhere");
}
END_TEST

static void eval(struct answer *out)
{
    static struct redis_script script = {.name = "one", .text = "return 1"};
    const struct span keys[] = {SPAN("key")}, args[] = {SPAN("x"), redis_arg_run_id};

    redis_script_init(&script);
    *out = (struct answer){.done = false};
    redis_eval(redis, &(struct redis_eval){&script, REDIS_WORDS(keys), REDIS_WORDS(args)},
               on_answer, out);
}

START_TEST(a_script_carries_the_run_id_of_the_server_it_is_sent_to)
{
    struct answer answer;

    connect_to_cluster();
    eval(&answer);
    await(&answer.done);
    ck_assert_ptr_nonnull(strstr(a.last, " 1 key x aaaaaaaa"));
    refuse(1, "MOVED", &b);
    master = &b;
    eval(&answer);
    await(&answer.done);
    ck_assert_str_eq(answer.text, "b");
    ck_assert_ptr_nonnull(strstr(b.last, " 1 key x bbbbbbbb"));
}
END_TEST

/* To `a`, which sends it to `b`; that has to be given the script, and asked to take it once more. */
static void answer_without_script(struct fake_redis *f, const char *words, struct buf *reply)
{
    static bool has_script;

    has_script = has_script || is_command(words, "SCRIPT LOAD");
    if (is_command(words, "EVALSHA") && !has_script)
        buf_add_string(reply, "-NOSCRIPT x\r\n");
    else if (is_command(words, "EVALSHA"))
        buf_printf(reply, "%s\r\n", is_command(f->last, "ASKING") ? "+b" : "-ERR not ASKING");
    else
        buf_add_string(reply, "+OK\r\n");
}

START_TEST(a_script_is_loaded_also_where_it_was_sent_once)
{
    struct answer answer;

    connect_to_cluster();
    b.answer = answer_without_script;
    refuse(1, "ASK", &b);
    eval(&answer);
    await(&answer.done);
    ck_assert_str_eq(answer.text, "b");
}
END_TEST

START_TEST(lists_ask_every_server_and_other_commands_any)
{
    const struct span argv[] = {SPAN("TIME")};
    const size_t no_such_server = 1;
    struct answer answer = {.done = false};

    connect_to_cluster();
    ck_assert_uint_eq(redis_servers(redis), 1);
    redis_command(redis, argv, 1, on_answer, &answer);
    await(&answer.done);
    ck_assert_str_eq(answer.text, "a");
    answer.done = false;
    redis_command_to(redis, no_such_server, &(struct redis_words)REDIS_WORDS(argv), on_answer,
                     &answer);
    await(&answer.done);
    ck_assert_int_eq(answer.err.code, ERR_UNAVAILABLE);
}
END_TEST

START_TEST(freeing_cancels_what_waits_to_be_sent_again)
{
    struct answer answer;

    connect_to_cluster();
    refuse(UINT32_MAX, "TRYAGAIN x", NULL);
    get("key", &answer);
    while (a.asked < 2)
        ck_assert(!loop_run_until(loop, &answer.done, 5));
    redis_free(redis);
    redis = NULL;
    ck_assert_uint_eq(answer.calls, 1);
    ck_assert_int_eq(answer.err.code, ERR_CANCELLED);
}
END_TEST

START_TEST(a_server_of_the_wrong_kind_is_named)
{
    AUTO_STRING alone = NULL;

    fake_redis_start(&a, loop, 'a', true, answer_as_member);
    alone = xasprintf("redis://%s", a.where);
    connect_to(alone);
    await(&is_lost_seen);
    ck_assert_ptr_nonnull(
        strstr(lost.text, "part of a Cluster, whose address is redis-cluster://"));
    ck_assert_ptr_nonnull(strstr(lost.text, a.where));
}
END_TEST

/* What `c`, a sentinel, says. */
static const struct fake_redis *named;
static unsigned epoch;

static void answer_as_sentinel(struct fake_redis *f UNUSED, const char *words, struct buf *reply)
{
    char port[8], number[16];

    ck_assert_str_eq(words, "SENTINEL MASTER books");
    snprintf(port, sizeof port, "%s", strrchr(named->where, ':') + 1);
    snprintf(number, sizeof number, "%u", epoch);
    buf_printf(reply,
               "*6\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$%zu\r\n%s\r\n"
               "$12\r\nconfig-epoch\r\n$%zu\r\n%s\r\n",
               strlen(port), port, strlen(number), number);
}

START_TEST(the_master_that_sentinels_name_is_followed_but_not_back_in_time)
{
    AUTO_STRING address = NULL;
    struct answer answer;
    unsigned asked;

    fake_redis_start(&a, loop, 'a', false, answer_as_member);
    fake_redis_start(&b, loop, 'b', false, answer_as_member);
    fake_redis_start(&c, loop, 'c', false, answer_as_sentinel);
    named = &a;
    epoch = 7;
    address = xasprintf("redis-sentinel://%s/books", c.where);
    connect_to(address);
    await(&is_ready_seen);
    ck_assert_str_eq(ask("key")->text, "a");
    named = &b;
    epoch = 8;
    is_lost_seen = is_ready_seen = false;
    await(&is_lost_seen);
    ck_assert_ptr_nonnull(strstr(lost.text, "the master has moved to"));
    await(&is_ready_seen);
    ck_assert_str_eq(ask("key")->text, "b");
    ck_assert_str_eq(redis_run_id(redis, SPAN("")), b.run_id);
    named = &a; /* a sentinel that was cut off from the others */
    epoch = 7;
    asked = c.asked;
    is_lost_seen = false;
    await(&is_lost_seen);
    ck_assert_ptr_nonnull(strstr(lost.text, "behind the others"));
    ck_assert_uint_gt(c.asked, asked);
    get("key", &answer);
    await(&answer.done);
    ck_assert_str_eq(answer.text, "b");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_slot_that_moved_is_asked_for_there_from_then_on,
        a_key_that_may_be_elsewhere_is_asked_for_there_once,
        what_is_refused_for_now_is_sent_again_until_it_is_done,
        what_is_refused_for_too_long_was_not_done,
        what_is_refused_late_is_not_sent_again,
        servers_that_point_at_each_other_end_in_a_refusal,
        a_server_that_is_no_master_any_more_is_looked_at_anew,
        every_other_error_is_a_reply,
        a_script_carries_the_run_id_of_the_server_it_is_sent_to,
        a_script_is_loaded_also_where_it_was_sent_once,
        lists_ask_every_server_and_other_commands_any,
        freeing_cancels_what_waits_to_be_sent_again,
        a_server_of_the_wrong_kind_is_named,
        the_master_that_sentinels_name_is_followed_but_not_back_in_time,
    };
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(all, tests[i]);
    return run_tests(all, "redis_kinds");
}
