/* test_admit_script.c - admit, hold, recovered and sweep on a real Redis, one claim at a time. Where a script waits, the
 * test moves the times that it keeps instead of waiting itself. */
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"

#define ARGS_MAX 16

static struct fixture redis;

/* Evaluates a script; `keys` and `args` are texts that end with null. */
static char *run(enum script s, const char *const *keys, const char *const *args)
{
    struct span key[ARGS_MAX], arg[ARGS_MAX];
    size_t k = 0, n = 0;

    for (; keys[k]; k++)
        key[k] = span_of(keys[k]);
    for (; args[n]; n++)
        arg[n] = span_of(args[n]);
    return fixture_eval(&redis, s, key, k, arg, n);
}

static void expect(char *answer, const char *expected)
{
    AUTO_STRING owned = answer;

    ck_assert_str_eq(owned, expected);
}

static void expect_field(const char *key, const char *field, const char *expected)
{
    expect(fixture_ask(&redis, "HGET tg:{a17}:%s %s", key, field), expected);
}

static void expect_nothing_changed(const char *before)
{
    AUTO_STRING after = fixture_dump(&redis);

    ck_assert_str_eq(before, after);
}

static void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(redis.client, format, ap));
    va_end(ap);
}

static void open_partition(void)
{
    set("FLUSHALL");
    set("HSET tg:{a17}:state installation inst-1 partitions 64 run_id run-1");
    set("HSET tg:{a17}:account:acct opened 1 currency CNY mode prepaid balance 100 room 100 "
        "credit_limit 0 "
        "concurrency 2");
    set("HSET tg:{a17}:key:17key owner_kind account owner acct state active expires_at 0");
}

struct admit {
    const char *installation, *run, *key, *account, *request, *amount, *now;
    const char *currency, *tokens;
};
static const struct admit usual = {"inst-1", "run-1", "17key", "acct", "req_1",
                                   "40",     "",      "CNY",   "0"};

static char *admit(struct admit a)
{
    AUTO_STRING key = xasprintf("tg:{a17}:key:%s", a.key);
    AUTO_STRING account = xasprintf("tg:{a17}:account:%s", a.account);
    AUTO_STRING holds = xasprintf("tg:{a17}:holds:%s", a.account);
    AUTO_STRING index = xasprintf("tg:{a17}:index:%s", a.account);
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", a.request);
    AUTO_STRING rate = xasprintf("tg:{a17}:rate:%s", a.account);
    AUTO_STRING key_rate = xasprintf("tg:{a17}:rate:key:%s", a.key);
    const char *keys[] = {"tg:{a17}:state",
                          key,
                          account,
                          holds,
                          index,
                          "tg:{a17}:held",
                          released,
                          rate,
                          key_rate,
                          "tg:{a17}:spent:acct:2026-11-22:CNY",
                          "tg:{a17}:spent:acct:2026-11:CNY",
                          NULL};
    const char *args[] = {a.installation, a.run,    a.account,  a.request, "w-a",
                          a.amount,       a.now,    a.currency, a.tokens,  "",
                          "2026-11-22",   "demo/m", "",         NULL};

    return run(SCRIPT_ADMIT, keys, args);
}

static char *admit_call(const char *request, const char *amount)
{
    struct admit a = usual;

    a.request = request;
    a.amount = amount;
    return admit(a);
}

static char *hold(const char *verb, const char *request, const char *amount)
{
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", request);
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:held",
                          "tg:{a17}:rate:acct",
                          released,
                          "tg:{a17}:rate:key:17key",
                          NULL};
    const char *args[] = {
        "inst-1", "64", "acct", "w-a", verb, request, amount, " 2026-11-22 17key demo/m", NULL};

    return run(SCRIPT_HOLD, keys, args);
}

/* ---- admit ---- */

START_TEST(a_hold_takes_its_amount_from_what_is_left)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect_field("account:acct", "room", "60");
    AUTO_STRING entry = fixture_ask(&redis, "HGET tg:{a17}:holds:acct req_1");
    ck_assert_int_eq(strncmp(entry, "40 w-a 1", 8), 0);
    expect(fixture_ask(&redis, "SMEMBERS tg:{a17}:held"), "acct");
}
END_TEST

START_TEST(asking_again_for_the_same_call_takes_nothing_more)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
}
END_TEST

/* {command that makes the world so, what is asked, the answer}; each refusal changes nothing. */
START_TEST(every_refusal_says_why_and_changes_nothing)
{
    static const struct {
        const char *world;
        struct admit asked;
        const char *answer;
    } rows[] = {
        {"PING", {"inst-2", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"}, "INSTALLATION"},
        {"PING", {"inst-1", "run-2", "17key", "acct", "r", "40", "", "CNY", "0"}, "RECOVERING"},
        {"HDEL tg:{a17}:state run_id",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "RECOVERING"},
        {"DEL tg:{a17}:state",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "RECOVERING"},
        {"HSET tg:{a17}:state parked why",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "PARKED"},
        {"PING", {"inst-1", "run-1", "17none", "acct", "r", "40", "", "CNY", "0"}, "KEY_UNKNOWN"},
        {"HSET tg:{a17}:key:17key owner other",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "KEY_UNKNOWN"},
        {"HSET tg:{a17}:key:17key owner_kind creator",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "KEY_UNKNOWN"},
        {"HSET tg:{a17}:key:17key state revoked",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "KEY_REVOKED"},
        {"HSET tg:{a17}:key:17key expires_at 1700000000000000000",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "KEY_EXPIRED"},
        {"HSET tg:{a17}:key:17key expires_at 4000000000000000000",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "4000000000000000000", "CNY", "0"},
         "KEY_EXPIRED"},
        {"HSET tg:{a17}:key:17key access narrowed",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "KEY_CHANGED"},
        {"DEL tg:{a17}:account:acct",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "ACCOUNT_UNKNOWN"},
        {"HDEL tg:{a17}:account:acct opened",
         {"inst-1", "run-1", "17key", "acct", "r", "0", "", "CNY", "0"},
         "ACCOUNT_UNKNOWN"},
        {"HSET tg:{a17}:account:acct currency USD",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "CURRENCY 100 0 2 USD prepaid"},
        {"PING",
         {"inst-1", "run-1", "17key", "acct", "r", "0", "", "JPY", "0"},
         "CURRENCY 100 0 2 CNY prepaid"},
        {"HSET tg:{a17}:holds:acct x x y y",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "CONCURRENCY 100 2 2 CNY prepaid"},
        {"PING",
         {"inst-1", "run-1", "17key", "acct", "r", "101", "", "CNY", "0"},
         "CREDIT 100 0 2 CNY prepaid"},
        {"HSET tg:{a17}:account:acct room -1",
         {"inst-1", "run-1", "17key", "acct", "r", "1", "", "CNY", "0"},
         "CREDIT -1 0 2 CNY prepaid"},
        {"HDEL tg:{a17}:account:acct room",
         {"inst-1", "run-1", "17key", "acct", "r", "1", "", "CNY", "0"},
         "CREDIT 0 0 2 CNY prepaid"},
        {"HSET tg:{a17}:index:acct r 1-1",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "OVER"},
        {"SET tg:{a17}:released:r 1",
         {"inst-1", "run-1", "17key", "acct", "r", "40", "", "CNY", "0"},
         "OVER"},
        {"PING", {"inst-1", "run-1", "17key", "acct", "r", "-5", "", "CNY", "0"}, "MALFORMED"},
        {"PING",
         {"inst-1", "run-1", "17key", "acct", "r", "10000000000000000", "", "CNY", "0"},
         "MALFORMED"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_partition();
        set(rows[i].world);
        AUTO_STRING before = fixture_dump(&redis);
        AUTO_STRING answer = admit(rows[i].asked);
        ck_assert_msg(strcmp(answer, rows[i].answer) == 0, "row %zu: %s, not %s", i, answer,
                      rows[i].answer);
        expect_nothing_changed(before);
    }
}
END_TEST

START_TEST(a_key_that_expires_later_admits)
{
    open_partition();
    set("HSET tg:{a17}:key:17key expires_at 4000000000000000000");
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
}
END_TEST

START_TEST(a_free_call_is_admitted_whatever_is_left)
{
    open_partition();
    set("HSET tg:{a17}:account:acct room -9000000000000000000");
    expect(admit_call("req_1", "0"), "OK -9000000000000000000 1 2 CNY prepaid");
}
END_TEST

START_TEST(the_last_nano_can_be_held_beyond_doubles)
{
    open_partition();
    set("HSET tg:{a17}:account:acct room 9007199254740993 concurrency 0");
    expect(admit_call("req_1", "9007199254740992"), "OK 1 1 0 CNY prepaid");
    expect(admit_call("req_2", "1"), "OK 0 2 0 CNY prepaid");
    expect(admit_call("req_3", "1"), "CREDIT 0 2 0 CNY prepaid");
    set("HSET tg:{a17}:account:acct room 9223372036854775807");
    expect(admit_call("req_4", "1"), "OK 9223372036854775806 3 0 CNY prepaid");
}
END_TEST

START_TEST(parallel_calls_never_pass_what_is_left)
{
    unsigned admitted = 0;

    open_partition();
    set("HSET tg:{a17}:account:acct room 5000000000 concurrency 0");
    for (unsigned i = 0; i < 200; i++) {
        char request[16];
        snprintf(request, sizeof request, "req_%u", i);
        AUTO_STRING answer = admit_call(request, "100000000");
        admitted += strncmp(answer, "OK ", 3) == 0;
    }
    ck_assert_uint_eq(admitted, 50);
    expect_field("account:acct", "room", "0");
}
END_TEST

/* ---- budgets ---- */

static void spend(const char *window, const char *scope, const char *nanos)
{
    set("HSET tg:{a17}:spent:acct:%s:CNY %s %s", window, scope, nanos);
}

START_TEST(what_fits_a_budget_exactly_is_let_in)
{
    open_partition();
    set("HSET tg:{a17}:account:acct budget_day 90 budget_month 200");
    spend("2026-11-22", "account", "10");
    spend("2026-11", "account", "50");
    expect(admit_call("req_1", "40"), "OK 60 1 2 CNY prepaid");
    expect(admit_call("req_2", "41"), "BUDGET 60 1 2 CNY prepaid account day 90 40");
    expect(admit_call("req_2", "40"), "OK 20 2 2 CNY prepaid");
}
END_TEST

START_TEST(a_month_that_is_spent_is_told_before_the_day)
{
    open_partition();
    set("HSET tg:{a17}:account:acct budget_day 5 budget_month 60");
    spend("2026-11", "account", "30");
    expect(admit_call("req_1", "40"), "BUDGET 100 0 2 CNY prepaid account month 60 30");
    expect(admit_call("req_1", "6"), "BUDGET 100 0 2 CNY prepaid account day 5 5");
    spend("2026-11", "account", "70");
    expect(admit_call("req_1", "5"), "BUDGET 100 0 2 CNY prepaid account month 60 0");
}
END_TEST

START_TEST(a_key_spends_its_own_budget_alone)
{
    struct admit other = usual;

    open_partition();
    set("HSET tg:{a17}:account:acct concurrency 9");
    set("HSET tg:{a17}:key:17key budget_day 50");
    set("HSET tg:{a17}:key:17two owner_kind account owner acct state active expires_at 0");
    spend("2026-11-22", "account", "1000");
    spend("2026-11-22", "key:17two", "1000");
    other.key = "17two";
    other.request = "req_2";
    expect(admit(other), "OK 60 1 9 CNY prepaid");
    expect(admit_call("req_1", "30"), "OK 30 2 9 CNY prepaid");
    expect(admit_call("req_3", "21"), "BUDGET 30 2 9 CNY prepaid key day 50 20");
    expect(admit_call("req_3", "20"), "OK 10 3 9 CNY prepaid");
}
END_TEST

START_TEST(a_budget_for_one_model_lets_others_through)
{
    open_partition();
    set("HSET tg:{a17}:account:acct concurrency 9 budget_day:demo/m 50 budget_month:demo/m 90 "
        "budget_day:demo/other 1");
    set("HSET tg:{a17}:holds:acct req_0 %s", "30 w-a 1700000000000 2026-11-22 17two demo/other");
    spend("2026-11-22", "account", "1000");
    spend("2026-11-22", "model:demo/other", "1000");
    spend("2026-11-22", "model:demo/m", "10");
    spend("2026-11", "model:demo/m", "25");
    expect(admit_call("req_1", "41"), "BUDGET 100 1 9 CNY prepaid model day 50 40");
    expect(admit_call("req_1", "40"), "OK 60 2 9 CNY prepaid");
    expect(admit_call("req_2", "26"), "BUDGET 60 2 9 CNY prepaid model month 90 25");
    expect(admit_call("req_2", "25"), "BUDGET 60 2 9 CNY prepaid model day 50 0");
}
END_TEST

START_TEST(what_ran_on_another_day_counts_in_the_month_alone)
{
    open_partition();
    set("HSET tg:{a17}:account:acct budget_day 40 budget_month 90");
    set("HSET tg:{a17}:holds:acct req_0 %s", "50 w-a 1700000000000 2026-11-21 17key demo/m");
    expect(admit_call("req_1", "41"), "BUDGET 100 1 2 CNY prepaid account month 90 40");
    expect(admit_call("req_1", "40"), "OK 60 2 2 CNY prepaid");
}
END_TEST

START_TEST(what_costs_nothing_needs_no_budget)
{
    open_partition();
    set("HSET tg:{a17}:account:acct budget_day 1");
    spend("2026-11-22", "account", "9");
    expect(admit_call("req_1", "0"), "OK 100 1 2 CNY prepaid");
    expect(admit_call("req_2", "1"), "BUDGET 100 1 2 CNY prepaid account day 1 0");
}
END_TEST

/* ---- hold ---- */

START_TEST(a_release_gives_back_and_leaves_a_mark)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(hold("release", "req_1", "0"), "OK OK");
    expect_field("account:acct", "room", "100");
    expect_field("holds:acct", "req_1", "(nil)");
    expect(hold("release", "req_1", "0"), "OK OK");
    expect_field("account:acct", "room", "100");
    AUTO_STRING seconds = fixture_ask(&redis, "TTL tg:{a17}:released:req_1");
    ck_assert_int_ge(number_of(seconds), 100);
}
END_TEST

START_TEST(an_admit_that_comes_after_its_release_places_nothing)
{
    open_partition();
    expect(hold("release", "req_1", "0"), "OK OK");
    expect(admit(usual), "OVER");
    expect_field("holds:acct", "req_1", "(nil)");
}
END_TEST

START_TEST(a_renewal_that_comes_after_its_release_places_nothing)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(hold("release", "req_1", "0"), "OK OK");
    expect(hold("renew", "req_1", "40"), "OK OVER");
    expect_field("account:acct", "room", "100");
}
END_TEST

START_TEST(a_renewal_that_comes_after_its_call_was_charged_places_nothing)
{
    open_partition();
    set("HSET tg:{a17}:index:acct req_1 1-1");
    expect(hold("renew", "req_1", "40"), "OK OVER");
    expect_field("account:acct", "room", "100");
}
END_TEST

START_TEST(a_lost_hold_is_put_again_with_its_amount)
{
    open_partition();
    expect(hold("renew", "req_1", "140"), "OK OK");
    expect_field("account:acct", "room", "-40");
    expect(hold("renew", "req_1", "140"), "OK OK");
    expect_field("account:acct", "room", "-40");
    expect(fixture_ask(&redis, "SMEMBERS tg:{a17}:held"), "acct");
}
END_TEST

START_TEST(holds_can_be_put_before_anything_else_is_back)
{
    set("FLUSHALL");
    expect(hold("renew", "req_1", "40"), "OK OK");
    expect_field("account:acct", "room", "-40");
    expect_field("state", "installation", "inst-1");
}
END_TEST

START_TEST(a_renewal_brings_a_hold_up_to_its_amount_and_never_down)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(hold("renew", "req_1", "50"), "OK OK");
    expect_field("account:acct", "room", "50");
    expect(hold("renew", "req_1", "5"), "OK OK");
    expect_field("account:acct", "room", "50");
}
END_TEST

START_TEST(a_raise_needs_credit_and_else_leaves_the_hold)
{
    open_partition();
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(hold("raise", "req_1", "100"), "OK OK");
    expect_field("account:acct", "room", "0");
    expect(hold("raise", "req_1", "101"), "OK CREDIT");
    expect_field("account:acct", "room", "0");
    AUTO_STRING entry = fixture_ask(&redis, "HGET tg:{a17}:holds:acct req_1");
    ck_assert_int_eq(strncmp(entry, "100 w-a 1", 9), 0);
    set("HSET tg:{a17}:account:acct room -9000");
    expect(hold("raise", "req_1", "101"), "OK CREDIT");
    expect_field("account:acct", "room", "-9000");
}
END_TEST

START_TEST(holds_of_another_installation_are_refused)
{
    open_partition();
    set("HSET tg:{a17}:state installation inst-2");
    expect(hold("renew", "req_1", "40"), "INSTALLATION");
    set("HSET tg:{a17}:state installation inst-1 parked why");
    expect(hold("renew", "req_1", "40"), "PARKED");
    expect_field("account:acct", "room", "100");
}
END_TEST

START_TEST(a_malformed_entry_or_room_is_left_alone)
{
    open_partition();
    set("HSET tg:{a17}:holds:acct req_1 nonsense");
    expect(hold("renew", "req_1", "40"), "OK MALFORMED");
    expect(hold("release", "req_1", "0"), "OK MALFORMED");
    set("DEL tg:{a17}:holds:acct");
    set("HSET tg:{a17}:account:acct room -9223372036854775807");
    expect(hold("renew", "req_1", "40"), "OK MALFORMED");
    expect_field("account:acct", "room", "-9223372036854775807");
}
END_TEST

/* ---- recovered ---- */

static char *say(const char *writer, const char *run_id, const char *claim, const char *verb,
                 const char *life)
{
    const char *keys[] = {"tg:{a17}:state", "tg:{a17}:live", "tg:{a17}:cursors", NULL};
    const char *args[] = {"inst-1", "64", writer, run_id, claim, "1", "", verb, "t1", life, NULL};

    return run(SCRIPT_RECOVERED, keys, args);
}

static char *report(const char *writer, const char *run_id, const char *claim)
{
    free(say(writer, run_id, claim, "coming", "first"));
    return say(writer, run_id, claim, "back", "first");
}

static int64_t now_ms(void)
{
    redisReply *r = fixture_command(&redis, "TIME");
    int64_t ms = number_of(r->element[0]->str) * 1000 + number_of(r->element[1]->str) / 1000;

    freeReplyObject(r);
    return ms;
}

static void was_live(const char *writer, const char *run_id, int64_t age_ms)
{
    AUTO_STRING word = xasprintf("%s %" PRId64, run_id, now_ms() - age_ms);
    set("HSET tg:{a17}:live %s %s", writer, word);
}

START_TEST(a_new_installation_admits_at_once)
{
    set("FLUSHALL");
    expect(report("w-a", "run-1", "0"), "OK");
    expect_field("state", "run_id", "run-1");
    expect_field("state", "installation", "inst-1");
    expect(report("w-b", "run-1", "0"), "OK");
}
END_TEST

START_TEST(a_new_run_admits_when_all_live_writers_are_back)
{
    open_partition();
    was_live("w-a", "run-1", 2000);
    was_live("w-b", "run-1", 9000);
    expect(report("w-a", "run-2", "0"), "WAIT");
    expect_field("state", "run_id", "(nil)");
    expect(report("w-a", "run-2", "0"), "WAIT");
    expect(report("w-b", "run-2", "0"), "OK");
    expect_field("state", "run_id", "run-2");
    expect(report("w-a", "run-2", "0"), "OK");
}
END_TEST

START_TEST(a_new_run_waits_ten_seconds_for_those_who_stay_away)
{
    open_partition();
    was_live("w-b", "run-1", 2000);
    expect(report("w-a", "run-2", "0"), "WAIT");
    AUTO_STRING since = xasprintf("%" PRId64, now_ms() - 9000);
    set("HSET tg:{a17}:state pending_since %s", since);
    expect(report("w-a", "run-2", "0"), "WAIT");
    AUTO_STRING earlier = xasprintf("%" PRId64, now_ms() - 10001);
    set("HSET tg:{a17}:state pending_since %s", earlier);
    expect(report("w-a", "run-2", "0"), "OK");
}
END_TEST

START_TEST(writers_that_had_left_before_are_not_waited_for)
{
    open_partition();
    was_live("w-old", "run-1", 40000);
    was_live("w-a", "run-1", 1000);
    expect(report("w-a", "run-2", "0"), "OK");
}
END_TEST

/* Redis was away for an hour: all words are old, but they were said together. */
START_TEST(writers_that_were_at_work_when_redis_went_are_waited_for)
{
    open_partition();
    was_live("w-a", "run-1", 3600000);
    was_live("w-b", "run-1", 3609000);
    was_live("w-old", "run-1", 3640000);
    expect(report("w-a", "run-2", "0"), "WAIT");
    expect(report("w-b", "run-2", "0"), "OK");
}
END_TEST

START_TEST(a_writer_that_is_behind_closes_the_partition_until_it_is_back)
{
    open_partition();
    expect(report("w-a", "run-1", "0"), "OK");
    set("HSET tg:{a17}:cursors w-b %s", "3 00000000");
    expect(report("w-b", "run-1", "5"), "BEHIND 3");
    expect(admit(usual), "RECOVERING");
    expect(report("w-a", "run-1", "0"), "WAIT");
    expect(report("w-b", "run-1", "5"), "BEHIND 3");
    set("HSET tg:{a17}:cursors w-b %s", "5 00000000");
    expect(report("w-b", "run-1", "5"), "OK");
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
}
END_TEST

START_TEST(a_writer_that_stays_behind_closes_the_partition_only_once)
{
    open_partition();
    expect(report("w-b", "run-1", "5"), "BEHIND 0");
    AUTO_STRING earlier = xasprintf("%" PRId64, now_ms() - 10001);
    set("HSET tg:{a17}:state pending_since %s", earlier);
    expect(report("w-b", "run-1", "5"), "BEHIND 0");
    expect_field("state", "run_id", "run-1");
    expect(report("w-b", "run-1", "5"), "BEHIND 0");
    expect_field("state", "run_id", "run-1");
}
END_TEST

/* Not one that never came, nor one whose holds went with the rest since it did. */
START_TEST(who_says_that_it_is_back_must_have_come)
{
    open_partition();
    expect(say("w-a", "run-1", "0", "back", "first"), "AGAIN");
    expect(say("w-a", "run-1", "0", "coming", "first"), "WAIT");
    expect(say("w-a", "run-1", "0", "back", "first"), "OK");
    expect(say("w-a", "run-1", "0", "back", "first"), "OK");
    set("HSET tg:{a17}:live w-a %s", "- 1 1");
    expect(say("w-a", "run-1", "0", "back", "first"), "AGAIN");
    set("HSET tg:{a17}:live w-a %s", "-t0 1 1");
    expect(say("w-a", "run-1", "0", "back", "first"), "AGAIN");
}
END_TEST

/* It had joined within what Redis lost; one that only starts has no holds. */
START_TEST(a_writer_that_is_not_remembered_closes_the_partition_until_it_is_back)
{
    open_partition();
    expect(report("w-a", "run-1", "0"), "OK");
    expect(say("w-b", "run-1", "0", "coming", "first"), "WAIT");
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
    expect(say("w-c", "run-1", "0", "coming", "again"), "WAIT");
    expect(admit(usual), "RECOVERING");
    expect(say("w-b", "run-1", "0", "back", "first"), "WAIT");
    expect(say("w-c", "run-1", "0", "back", "again"), "OK");
    expect(say("w-c", "run-1", "0", "coming", "again"), "WAIT");
    expect(admit(usual), "OK 60 1 2 CNY prepaid");
}
END_TEST

START_TEST(a_parked_or_foreign_partition_recovers_nobody)
{
    open_partition();
    set("HSET tg:{a17}:state parked why");
    expect(report("w-a", "run-2", "0"), "PARKED why");
    set("HDEL tg:{a17}:state parked");
    set("HSET tg:{a17}:state partitions 32");
    expect(report("w-a", "run-2", "0"), "INSTALLATION");
    expect_field("state", "run_id", "run-1");
}
END_TEST

/* ---- sweep ---- */

static char *sweep(const char *run_id)
{
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:looks:acct",
                          "tg:{a17}:held",
                          "tg:{a17}:swept",
                          NULL};
    const char *args[] = {"inst-1", run_id, "acct", "60000", NULL};

    return run(SCRIPT_SWEEP, keys, args);
}

static void a_minute_goes_by(void)
{
    AUTO_STRING at = xasprintf("%" PRId64, now_ms() - 60001);

    set("HSET tg:{a17}:looks:acct %b %s", " at", (size_t)3, at);
}

START_TEST(two_looks_a_minute_apart_remove_what_nobody_renewed)
{
    open_partition();
    set("HSET tg:{a17}:holds:acct req_1 %s req_2 %s", "40 w-a 1700000000000",
        "5 w-a 1700000000000");
    set("HSET tg:{a17}:account:acct room 55");
    set("SADD tg:{a17}:held acct");
    expect(sweep("run-1"), "OK");
    expect(sweep("run-1"), "SOON");
    expect(hold("renew", "req_2", "5"), "OK OK");
    a_minute_goes_by();
    expect(sweep("run-1"), "OK req_1 40 w-a 1700000000000");
    expect_field("account:acct", "room", "95");
    expect_field("holds:acct", "req_1", "(nil)");
    a_minute_goes_by();
    AUTO_STRING third = sweep("run-1");
    ck_assert_int_eq(strncmp(third, "OK req_2 5 w-a", 14), 0);
    expect_field("account:acct", "room", "100");
    expect(fixture_ask(&redis, "EXISTS tg:{a17}:held tg:{a17}:looks:acct"), "0");
}
END_TEST

START_TEST(a_look_under_another_run_begins_anew)
{
    open_partition();
    set("HSET tg:{a17}:holds:acct req_1 %s", "40 w-a 1700000000000");
    expect(sweep("run-1"), "OK");
    a_minute_goes_by();
    set("HSET tg:{a17}:state run_id run-2");
    expect(sweep("run-2"), "OK");
    expect(sweep("run-2"), "SOON");
    expect(sweep("run-1"), "RECOVERING");
    expect(sweep("run-2"), "OK");
    a_minute_goes_by();
    expect(sweep("run-2"), "OK req_1 40 w-a 1700000000000");
}
END_TEST

START_TEST(a_malformed_hold_is_removed_and_moves_no_money)
{
    open_partition();
    set("HSET tg:{a17}:holds:acct req_1 nonsense");
    expect(sweep("run-1"), "OK");
    a_minute_goes_by();
    expect(sweep("run-1"), "OK req_1 nonsense");
    expect_field("account:acct", "room", "100");
}
END_TEST

static void start_redis(void)
{
    fixture_start(&redis, false);
}

static void stop_redis(void)
{
    fixture_stop(&redis);
}

static Suite *suite(void)
{
    Suite *s = suite_create("admit_script");
    TCase *t = tcase_create("admit_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_hold_takes_its_amount_from_what_is_left);
    tcase_add_test(t, asking_again_for_the_same_call_takes_nothing_more);
    tcase_add_test(t, every_refusal_says_why_and_changes_nothing);
    tcase_add_test(t, a_key_that_expires_later_admits);
    tcase_add_test(t, what_fits_a_budget_exactly_is_let_in);
    tcase_add_test(t, a_month_that_is_spent_is_told_before_the_day);
    tcase_add_test(t, a_budget_for_one_model_lets_others_through);
    tcase_add_test(t, a_key_spends_its_own_budget_alone);
    tcase_add_test(t, what_ran_on_another_day_counts_in_the_month_alone);
    tcase_add_test(t, what_costs_nothing_needs_no_budget);
    tcase_add_test(t, a_free_call_is_admitted_whatever_is_left);
    tcase_add_test(t, the_last_nano_can_be_held_beyond_doubles);
    tcase_add_test(t, parallel_calls_never_pass_what_is_left);
    tcase_add_test(t, a_release_gives_back_and_leaves_a_mark);
    tcase_add_test(t, an_admit_that_comes_after_its_release_places_nothing);
    tcase_add_test(t, a_renewal_that_comes_after_its_release_places_nothing);
    tcase_add_test(t, a_renewal_that_comes_after_its_call_was_charged_places_nothing);
    tcase_add_test(t, a_lost_hold_is_put_again_with_its_amount);
    tcase_add_test(t, holds_can_be_put_before_anything_else_is_back);
    tcase_add_test(t, a_renewal_brings_a_hold_up_to_its_amount_and_never_down);
    tcase_add_test(t, a_raise_needs_credit_and_else_leaves_the_hold);
    tcase_add_test(t, holds_of_another_installation_are_refused);
    tcase_add_test(t, a_malformed_entry_or_room_is_left_alone);
    tcase_add_test(t, a_new_installation_admits_at_once);
    tcase_add_test(t, a_new_run_admits_when_all_live_writers_are_back);
    tcase_add_test(t, a_new_run_waits_ten_seconds_for_those_who_stay_away);
    tcase_add_test(t, writers_that_had_left_before_are_not_waited_for);
    tcase_add_test(t, writers_that_were_at_work_when_redis_went_are_waited_for);
    tcase_add_test(t, a_writer_that_is_behind_closes_the_partition_until_it_is_back);
    tcase_add_test(t, a_writer_that_stays_behind_closes_the_partition_only_once);
    tcase_add_test(t, who_says_that_it_is_back_must_have_come);
    tcase_add_test(t, a_writer_that_is_not_remembered_closes_the_partition_until_it_is_back);
    tcase_add_test(t, a_parked_or_foreign_partition_recovers_nobody);
    tcase_add_test(t, two_looks_a_minute_apart_remove_what_nobody_renewed);
    tcase_add_test(t, a_look_under_another_run_begins_anew);
    tcase_add_test(t, a_malformed_hold_is_removed_and_moves_no_money);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
