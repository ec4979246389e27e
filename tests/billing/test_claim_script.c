/* test_claim_script.c - what idempotency keys promise, asked of the scripts on a real Redis: admit places claims, answer ends
 * and restores them, apply does what an END says of them. */
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "tests/billing/redis_fixture.h"
#include "tests/billing/run.h"

#define ARGS_MAX 16
#define DAY_MS   INT64_C(86400000)
#define BODY     "0011223344556677001122334455667788"
#define OTHER    "ffffffffffffffff0011223344556677ff"
#define CLAIM    "tg:{a17}:idem:acct:k"

static struct fixture redis;
static int64_t begun_ms; /* when the calls of a test began: now */

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

static void set(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    freeReplyObject(redisvCommand(redis.client, format, ap));
    va_end(ap);
}

static void expect(char *answer, const char *expected)
{
    AUTO_STRING owned = answer;

    ck_assert_str_eq(owned, expected);
}

/* The claim as it stands: "state request", or "(nil)". */
static void expect_claim(const char *expected)
{
    AUTO_STRING claim = fixture_ask(&redis, "GET " CLAIM);
    char *end = strchr(claim, ' ');

    if (end && (end = strchr(end + 1, ' ')))
        *end = '\0';
    ck_assert_str_eq(claim, expected);
}

static void open_partition(void)
{
    redisReply *time;

    set("FLUSHALL");
    set("HSET tg:{a17}:state installation inst-1 partitions 64 run_id run-1");
    set("HSET tg:{a17}:account:acct opened 1 currency CNY balance 100 room 100 credit_limit 0 "
        "concurrency 0");
    set("HSET tg:{a17}:key:17key owner_kind account owner acct state active expires_at 0");
    time = fixture_command(&redis, "TIME");
    begun_ms = atoll(time->element[0]->str) * 1000;
    freeReplyObject(time);
}

struct call {
    const char *request, *body, *amount, *writer, *turn;
    int64_t late_ms; /* how long after the test's beginning it begins, by the platform's clock */
};
static const struct call first = {"req_1", BODY, "40", "w-a", "1", 0};
static const struct call second = {"req_2", BODY, "40", "w-b", "1", 0};

static char *admit(struct call c)
{
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", c.request);
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    AUTO_STRING now = c.late_ms ? xasprintf("%" PRId64 "000000", begun_ms + c.late_ms) : NULL;
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:key:17key",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:held",
                          released,
                          "tg:{a17}:rate:acct",
                          "tg:{a17}:rate:key:17key",
                          CLAIM,
                          "tg:{a17}:live",
                          NULL};
    const char *args[] = {"inst-1", "run-1", "acct", c.request, c.writer, c.amount, now ? now : "",
                          "CNY",    "0",     c.body, ends,      c.turn,   NULL};

    return run(SCRIPT_ADMIT, keys, args);
}

static void expect_admitted(struct call c)
{
    AUTO_STRING answer = admit(c);

    ck_assert_msg(strncmp(answer, "OK ", 3) == 0, "%s", answer);
}

static char *tell(const char *verb, struct call c, const char *stored)
{
    AUTO_STRING answer = xasprintf("tg:{a17}:answer:%s", c.request);
    AUTO_STRING released = xasprintf("tg:{a17}:released:%s", c.request);
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    const char *keys[] = {"tg:{a17}:state", CLAIM, answer, "tg:{a17}:index:acct", released, NULL};
    const char *args[] = {"inst-1",   "64",     verb,   c.request, c.body, ends,
                          "86400000", c.writer, c.turn, stored,    NULL};

    return run(SCRIPT_ANSWER, keys, args);
}

/* The END of a call is applied as a writer's record n. */
static char *apply(struct call c, const char *n, const char *state, const char *left_ms)
{
    AUTO_STRING ends = xasprintf("%" PRId64, begun_ms + c.late_ms + DAY_MS);
    const char *keys[] = {"tg:{a17}:state",
                          "tg:{a17}:cursors",
                          "tg:{a17}:suspense",
                          "tg:{a17}:records",
                          "tg:{a17}:ops",
                          "tg:{a17}:account:acct",
                          "tg:{a17}:holds:acct",
                          "tg:{a17}:debits:2026-11",
                          "tg:{a17}:events:acct",
                          "tg:{a17}:index:acct",
                          "tg:{a17}:rate:acct",
                          "tg:{a17}:rate:key:17key",
                          CLAIM,
                          NULL};
    const char *args[] = {
        "inst-1",  "64",  c.writer, n,   "00000000", "claimed_call", "{}", "8",     "9", "acct",
        c.request, "CNY", "5",      "0", state,      c.body,         ends, left_ms, NULL};
    struct span key[24], arg[24];
    size_t k = 0, a = 0;

    for (; keys[k]; k++)
        key[k] = span_of(keys[k]);
    for (; args[a]; a++)
        arg[a] = span_of(args[a]);
    return fixture_eval(&redis, SCRIPT_APPLY_ACCOUNT, key, k, arg, a);
}

static void expect_applied(struct call c, const char *n, const char *state)
{
    AUTO_STRING answer = apply(c, n, state, "86400000");

    ck_assert_msg(strncmp(answer, "OK ", 3) == 0, "%s", answer);
}

/* ---- admit ---- */

START_TEST(an_admitted_call_has_its_key_for_a_day)
{
    open_partition();
    expect_admitted(first);
    AUTO_STRING expected = xasprintf("open req_1 %s %" PRId64 " w-a 1", BODY, begun_ms + DAY_MS);
    expect(fixture_ask(&redis, "GET " CLAIM), expected);
    AUTO_STRING left = fixture_ask(&redis, "PTTL " CLAIM);
    ck_assert_int_gt(atoll(left), DAY_MS - 60000);
}
END_TEST

START_TEST(a_second_call_waits_while_the_first_is_open_and_places_nothing)
{
    open_partition();
    expect_admitted(first);
    AUTO_STRING before = fixture_dump(&redis);
    expect(admit(second), "CLAIMED req_1");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(asking_again_for_the_call_that_has_the_key_changes_nothing)
{
    open_partition();
    expect_admitted(first);
    AUTO_STRING before = fixture_dump(&redis);
    expect_admitted(first);
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_repetition_is_known_whatever_the_limits_say)
{
    open_partition();
    expect_admitted(first);
    expect(tell("answered", first, ""), "OK");
    set("HSET tg:{a17}:account:acct room -1 concurrency 1 currency USD rpm 1 tpm 1");
    expect(admit(second), "ANSWERED req_1");
}
END_TEST

START_TEST(a_revoked_key_repeats_nothing)
{
    open_partition();
    expect_admitted(first);
    set("HSET tg:{a17}:key:17key state revoked");
    expect(admit(second), "KEY_REVOKED");
}
END_TEST

START_TEST(something_else_under_the_same_key_is_refused)
{
    struct call other = second;

    other.body = OTHER;
    open_partition();
    expect_admitted(first);
    expect(admit(other), "OTHER_BODY req_1");
    expect(tell("answered", first, ""), "OK");
    expect(admit(other), "OTHER_BODY req_1");
}
END_TEST

START_TEST(a_call_that_is_refused_claims_nothing)
{
    struct call dear = first;

    dear.amount = "101";
    open_partition();
    AUTO_STRING before = fixture_dump(&redis);
    AUTO_STRING answer = admit(dear);
    ck_assert_int_eq(strncmp(answer, "CREDIT ", 7), 0);
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_key_is_free_again_after_a_day_by_the_platforms_clock)
{
    struct call late = second;

    open_partition();
    expect_admitted(first);
    expect(tell("answered", first, ""), "OK");
    late.late_ms = DAY_MS - 1;
    expect(admit(late), "ANSWERED req_1");
    late.late_ms = DAY_MS;
    expect_admitted(late);
    expect_claim("open req_2");
}
END_TEST

/* ---- a process that is gone ---- */

START_TEST(a_claim_outlives_its_process_until_all_that_it_left_is_applied)
{
    open_partition();
    expect_admitted(first);
    set("HSET tg:{a17}:live w-a %s", "run-1 1 1");
    expect(admit(second), "CLAIMED req_1");
    set("HSET tg:{a17}:live w-a %s", "- 2 2"); /* taken up again, but behind */
    expect(admit(second), "CLAIMED req_1");
    set("HSET tg:{a17}:live w-a %s", "run-0 2 2"); /* under another run of Redis */
    expect(admit(second), "CLAIMED req_1");
    set("HSET tg:{a17}:live w-a %s", "run-1 2 2");
    expect_admitted(second);
}
END_TEST

START_TEST(an_answered_call_stays_answered_when_its_process_is_gone)
{
    open_partition();
    expect_admitted(first);
    expect_applied(first, "1", "answered");
    set("HSET tg:{a17}:live w-a %s", "run-1 2 2");
    expect(admit(second), "ANSWERED req_1");
}
END_TEST

START_TEST(an_uncounted_process_keeps_its_claims)
{
    struct call uncounted = first;

    uncounted.turn = "0";
    open_partition();
    expect_admitted(uncounted);
    set("HSET tg:{a17}:live w-a %s", "run-1 2 2");
    expect(admit(second), "CLAIMED req_1");
}
END_TEST

START_TEST(a_report_says_how_often_the_directory_was_taken_up)
{
    const char *keys[] = {"tg:{a17}:state", "tg:{a17}:live", "tg:{a17}:cursors", NULL};
    const char *args[] = {"inst-1", "64", "w-a", "run-1", "0", "2", NULL};

    open_partition();
    expect_admitted(first);
    expect(run(SCRIPT_RECOVERED, keys, args), "OK");
    expect_admitted(second);
}
END_TEST

/* ---- while it runs, and when its END is durable ---- */

START_TEST(a_call_that_failed_frees_its_key_at_once)
{
    open_partition();
    expect_admitted(first);
    expect(tell("failed", first, ""), "OK");
    expect_claim("(nil)");
    expect_admitted(second);
    expect(tell("failed", first, ""), "OK"); /* once more, late */
    expect_claim("open req_2");
}
END_TEST

START_TEST(an_answer_is_stored_as_long_as_its_claim_stands)
{
    open_partition();
    expect_admitted(first);
    expect(tell("answered", first, "sealed"), "OK");
    expect_claim("answered req_1");
    expect(fixture_ask(&redis, "GET tg:{a17}:answer:req_1"), "sealed");
    AUTO_STRING left = fixture_ask(&redis, "PTTL tg:{a17}:answer:req_1");
    ck_assert_int_gt(atoll(left), DAY_MS - 60000);
}
END_TEST

START_TEST(nothing_is_stored_of_a_call_that_failed)
{
    open_partition();
    expect_admitted(first);
    expect(tell("failed", first, "sealed"), "OK");
    expect(fixture_ask(&redis, "EXISTS tg:{a17}:answer:req_1"), "0");
}
END_TEST

START_TEST(a_lost_claim_is_put_again_by_its_worker)
{
    open_partition();
    expect_admitted(first);
    set("DEL " CLAIM);
    expect(tell("open", first, ""), "OK");
    expect_claim("open req_1");
    expect(admit(second), "CLAIMED req_1");
    expect(tell("open", first, ""), "OK");
    expect_claim("open req_1");
}
END_TEST

START_TEST(a_claim_is_not_put_again_when_its_call_is_over)
{
    open_partition();
    set("HSET tg:{a17}:index:acct req_1 1-1");
    expect(tell("open", first, ""), "OVER");
    expect_claim("(nil)");
    open_partition();
    set("SET tg:{a17}:released:req_1 1");
    expect(tell("open", first, ""), "OVER");
    expect_claim("(nil)");
    open_partition();
    expect_admitted(first);
    expect(tell("answered", first, ""), "OK");
    expect(tell("open", first, ""), "OK");
    expect_claim("answered req_1");
}
END_TEST

START_TEST(who_lost_its_claim_to_another_call_is_told)
{
    open_partition();
    expect_admitted(first);
    set("DEL " CLAIM);
    expect_admitted(second);
    expect(tell("open", first, ""), "TAKEN req_2");
    expect(tell("answered", second, ""), "OK");
    expect(tell("open", first, ""), "TAKEN req_2");
    expect_claim("answered req_2");
}
END_TEST

START_TEST(a_claim_that_is_over_stands_in_nobodys_way)
{
    struct call late = second;

    late.late_ms = DAY_MS;
    open_partition();
    expect_admitted(first);
    expect(tell("open", late, ""), "OK");
    expect_claim("open req_2");
}
END_TEST

START_TEST(another_installations_redis_is_left_alone)
{
    open_partition();
    set("HSET tg:{a17}:state installation inst-2");
    AUTO_STRING before = fixture_dump(&redis);
    expect(tell("open", first, ""), "INSTALLATION");
    expect(tell("answered", first, "sealed"), "INSTALLATION");
    set("HSET tg:{a17}:state installation inst-1");
    set("HSET tg:{a17}:state parked why");
    expect(tell("failed", first, ""), "PARKED");
    set("HDEL tg:{a17}:state parked");
    set("HSET tg:{a17}:state installation inst-2");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

/* ---- ENDs ---- */

START_TEST(an_end_restores_what_redis_lost)
{
    open_partition();
    expect_applied(first, "1", "answered");
    AUTO_STRING expected = xasprintf("answered req_1 %s %" PRId64 " - 0", BODY, begun_ms + DAY_MS);
    expect(fixture_ask(&redis, "GET " CLAIM), expected);
    expect(admit(second), "ANSWERED req_1");
    set("DEL " CLAIM);
    expect(apply(first, "1", "answered", "86400000"), "OK 1 00000000 0 1 0"); /* a duplicate */
    expect_claim("(nil)");
}
END_TEST

START_TEST(an_end_says_the_same_as_its_worker_did_before)
{
    open_partition();
    expect_admitted(first);
    expect(tell("answered", first, ""), "OK");
    AUTO_STRING before = fixture_ask(&redis, "GET " CLAIM);
    expect_applied(first, "1", "answered");
    expect(fixture_ask(&redis, "GET " CLAIM), before);
}
END_TEST

START_TEST(an_end_without_an_answer_frees_only_its_own_claim)
{
    open_partition();
    expect_admitted(first);
    expect_applied(first, "1", "failed");
    expect_claim("(nil)");
    expect_admitted(second);
    expect_applied((struct call){"req_3", BODY, "40", "w-a", "1", 0}, "2", "failed");
    expect_claim("open req_2");
}
END_TEST

START_TEST(an_end_of_yesterday_claims_nothing)
{
    open_partition();
    expect(apply(first, "1", "answered", "0"), "OK 1 00000000 1 0 0");
    expect_claim("(nil)");
}
END_TEST

/* Every order of three ENDs of three writers, one of them a failure, gives the same claim. */
START_TEST(ends_of_several_writers_commute)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const struct call calls[] = {{"req_1", BODY, "1", "w-a", "1", 0},
                                        {"req_2", BODY, "1", "w-b", "1", 500},
                                        {"req_3", BODY, "1", "w-c", "1", 900}};
    static const char *const states[] = {"answered", "answered", "failed"};

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        open_partition();
        for (size_t j = 0; j < 3; j++)
            expect_applied(calls[orders[i][j]], "1", states[orders[i][j]]);
        expect_claim("answered req_2");
    }
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

int main(void)
{
    TCase *t = tcase_create("claim_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, an_admitted_call_has_its_key_for_a_day);
    tcase_add_test(t, a_second_call_waits_while_the_first_is_open_and_places_nothing);
    tcase_add_test(t, asking_again_for_the_call_that_has_the_key_changes_nothing);
    tcase_add_test(t, a_repetition_is_known_whatever_the_limits_say);
    tcase_add_test(t, a_revoked_key_repeats_nothing);
    tcase_add_test(t, something_else_under_the_same_key_is_refused);
    tcase_add_test(t, a_call_that_is_refused_claims_nothing);
    tcase_add_test(t, a_key_is_free_again_after_a_day_by_the_platforms_clock);
    tcase_add_test(t, a_claim_outlives_its_process_until_all_that_it_left_is_applied);
    tcase_add_test(t, an_answered_call_stays_answered_when_its_process_is_gone);
    tcase_add_test(t, an_uncounted_process_keeps_its_claims);
    tcase_add_test(t, a_report_says_how_often_the_directory_was_taken_up);
    tcase_add_test(t, a_call_that_failed_frees_its_key_at_once);
    tcase_add_test(t, an_answer_is_stored_as_long_as_its_claim_stands);
    tcase_add_test(t, nothing_is_stored_of_a_call_that_failed);
    tcase_add_test(t, a_lost_claim_is_put_again_by_its_worker);
    tcase_add_test(t, a_claim_is_not_put_again_when_its_call_is_over);
    tcase_add_test(t, who_lost_its_claim_to_another_call_is_told);
    tcase_add_test(t, a_claim_that_is_over_stands_in_nobodys_way);
    tcase_add_test(t, another_installations_redis_is_left_alone);
    tcase_add_test(t, an_end_restores_what_redis_lost);
    tcase_add_test(t, an_end_says_the_same_as_its_worker_did_before);
    tcase_add_test(t, an_end_without_an_answer_frees_only_its_own_claim);
    tcase_add_test(t, an_end_of_yesterday_claims_nothing);
    tcase_add_test(t, ends_of_several_writers_commute);
    return run_tests(t, "claim_script");
}
