/* test_claim_script.c - what idempotency keys promise, asked of the scripts on a real Redis: admit places claims, answer ends
 * and restores them, apply does what an END says of them. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/claim_fixture.h"

#define CLAIM "tg:{a17}:idem:acct:k"

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

static const struct call first = {"req_1", BODY, "40", "w-a", "1", 0, NULL, NULL};
static const struct call second = {"req_2", BODY, "40", "w-b", "1", 0, NULL, NULL};

/* The same key under two peppers: of a host that uses one, and of a host that uses the other. */
static const struct call by_old_name = {"req_1", BODY, "40", "w-a", "1", 0, "k", "k2"};
static const struct call by_new_name = {"req_2", BODY, "40", "w-b", "1", 0, "k2", "k"};

static void expect_admitted(struct call c)
{
    AUTO_STRING answer = admit(c);

    ck_assert_msg(strncmp(answer, "OK ", 3) == 0, "%s", answer);
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
    ck_assert_int_gt(number_of(left), DAY_MS - 60000);
}
END_TEST

START_TEST(a_second_call_waits_while_the_first_is_open_and_places_nothing)
{
    open_partition();
    expect_admitted(first);
    AUTO_STRING before = fixture_dump(&redis);
    expect(admit(second), "CLAIMED req_1 0");
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
    expect(admit(second), "ANSWERED req_1 0");
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
    expect(admit(other), "OTHER_BODY req_1 0");
    expect(tell("answered", first, ""), "OK");
    expect(admit(other), "OTHER_BODY req_1 0");
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
    expect(admit(late), "ANSWERED req_1 0");
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
    expect(admit(second), "CLAIMED req_1 0");
    set("HSET tg:{a17}:live w-a %s", "- 2 2"); /* taken up again, but behind */
    expect(admit(second), "CLAIMED req_1 0");
    set("HSET tg:{a17}:live w-a %s", "run-0 2 2"); /* under another run of Redis */
    expect(admit(second), "CLAIMED req_1 0");
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
    expect(admit(second), "ANSWERED req_1 0");
}
END_TEST

START_TEST(an_uncounted_process_keeps_its_claims)
{
    struct call uncounted = first;

    uncounted.turn = "0";
    open_partition();
    expect_admitted(uncounted);
    set("HSET tg:{a17}:live w-a %s", "run-1 2 2");
    expect(admit(second), "CLAIMED req_1 0");
}
END_TEST

START_TEST(a_retired_writers_open_claims_end_under_any_run_of_redis)
{
    struct call uncounted = first;

    uncounted.turn = "0";
    open_partition();
    expect_admitted(uncounted);
    expect(admit(second), "CLAIMED req_1 0");
    expect(retire("w-c", "0"), "OK");
    expect(fence("w-a"), "OK");
    expect(admit(second), "CLAIMED req_1 0");
    expect(retire("w-a", "0"), "OK");
    expect(admit(uncounted), "RETIRED");
    expect_admitted(second);
    expect_claim("open req_2");
}
END_TEST

START_TEST(a_retired_writers_claims_wait_for_all_that_was_saved_of_it)
{
    struct call third = {"req_3", BODY, "1", "w-a", "1", 0, "k3", NULL};

    open_partition();
    expect_admitted(first);
    expect_admitted(third);
    expect(retire("w-a", "1"), "BEHIND");
    expect(admit(second), "CLAIMED req_1 0");
    expect_applied(first, "1", "answered");
    expect(retire("w-a", "1"), "OK");
    expect(admit(second), "ANSWERED req_1 0");
    third.request = "req_4";
    third.writer = "w-b";
    expect_admitted(third);
}
END_TEST

START_TEST(a_parked_partition_fences_a_writer_off_but_ends_no_claim)
{
    open_partition();
    set("HSET tg:{a17}:state parked why");
    expect(fence("w-a"), "OK");
    AUTO_STRING before = fixture_dump(&redis);
    expect(retire("w-a", "0"), "PARKED");
    AUTO_STRING after = fixture_dump(&redis);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_report_says_how_often_the_directory_was_taken_up)
{
    open_partition();
    expect_admitted(first);
    expect(report("w-a", "0", "2"), "OK");
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
    ck_assert_int_gt(number_of(left), DAY_MS - 60000);
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

/* Another call, under another key, is answered with "sealed", a quarter of what may be stored at once; is that stored? */
static bool is_stored(const char *request, const char *key)
{
    AUTO_STRING text = xasprintf("GET tg:{a17}:answer:%s", request);
    struct call c = first;

    c.request = request;
    c.key = key;
    expect(tell("answered", c, "sealed"), "OK");
    AUTO_STRING stored = fixture_ask(&redis, text);
    return strcmp(stored, "sealed") == 0;
}

START_TEST(an_account_stores_no_more_than_its_share_of_a_day)
{
    struct call again = second;

    open_partition();
    ck_assert(is_stored("req_5", "k5") && is_stored("req_6", "k6") && is_stored("req_7", "k7") &&
              is_stored("req_8", "k8"));
    ck_assert(!is_stored("req_9", "k9"));
    again.key = "k9";
    expect(admit(again), "ANSWERED req_9 0");
    AUTO_STRING left = fixture_ask(&redis, "PTTL tg:{a17}:stored:acct");
    ck_assert_int_gt(number_of(left), DAY_MS - 60000);
    ck_assert_int_le(number_of(left), DAY_MS);
}
END_TEST

START_TEST(what_may_be_stored_comes_back_as_the_day_passes)
{
    open_partition();
    set("SET tg:{a17}:stored:acct %lld", (long long)(begun_ms + DAY_MS / 4 * 3 + 600000));
    ck_assert(!is_stored("req_5", "k5"));
    set("SET tg:{a17}:stored:acct %lld", (long long)(begun_ms + DAY_MS / 4 * 3));
    ck_assert(is_stored("req_6", "k6"));
    ck_assert(!is_stored("req_7", "k7"));
}
END_TEST

START_TEST(nothing_is_stored_by_a_call_whose_key_is_anothers)
{
    open_partition();
    expect_admitted(first);
    set("DEL " CLAIM);
    expect_admitted(second);
    expect(tell("answered", second, "sealed"), "OK");
    expect(tell("answered", first, "sealed"), "OK");
    expect_claim("answered req_2");
    expect(fixture_ask(&redis, "EXISTS tg:{a17}:answer:req_1"), "0");
    expect(fixture_ask(&redis, "EXISTS tg:{a17}:answer:req_2"), "1");
}
END_TEST

START_TEST(a_lost_claim_is_put_again_by_its_worker)
{
    open_partition();
    expect_admitted(first);
    set("DEL " CLAIM);
    expect(tell("open", first, ""), "OK");
    expect_claim("open req_1");
    expect(admit(second), "CLAIMED req_1 0");
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

START_TEST(who_lost_its_claim_to_a_call_by_another_name_is_told)
{
    open_partition();
    expect_admitted(by_old_name);
    expect(admit(by_new_name), "CLAIMED req_1 1");
    set("DEL " CLAIM);
    expect_admitted(by_new_name);
    expect(tell("open", by_old_name, ""), "TAKEN req_2");
    expect_claim("(nil)");
    expect(tell("open", by_new_name, ""), "OK");
    expect_applied(by_old_name, "1", "answered"); /* nobody knew in time: its END is the first */
    expect(tell("open", by_new_name, ""), "TAKEN req_1");
}
END_TEST

START_TEST(a_dead_claim_by_another_name_is_nobodys_when_one_is_put_again)
{
    open_partition();
    expect_admitted(by_old_name);
    set("HSET tg:{a17}:live w-a %s", "run-1 2 2");
    expect_admitted(by_new_name);
    expect_claim("(nil)");
    set("DEL tg:{a17}:idem:acct:k2");
    expect(tell("open", by_new_name, ""), "OK");
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
    expect(admit(second), "ANSWERED req_1 0");
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
    expect_applied((struct call){"req_3", BODY, "40", "w-a", "1", 0, NULL, NULL}, "2", "failed");
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
    static const struct call calls[] = {{"req_1", BODY, "1", "w-a", "1", 0, NULL, NULL},
                                        {"req_2", BODY, "1", "w-b", "1", 500, NULL, NULL},
                                        {"req_3", BODY, "1", "w-c", "1", 900, NULL, NULL}};
    static const char *const states[] = {"answered", "answered", "failed"};

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        open_partition();
        for (size_t j = 0; j < 3; j++)
            expect_applied(calls[orders[i][j]], "1", states[orders[i][j]]);
        expect_claim("answered req_2");
    }
}
END_TEST

/* The claim of the first was lost, and the second got the key. */
START_TEST(a_call_that_is_open_gives_way_to_one_that_was_answered)
{
    open_partition();
    expect_admitted(first);
    set("DEL " CLAIM);
    expect_admitted(second);
    expect_applied(first, "1", "answered");
    expect_claim("answered req_1");
    expect(tell("open", second, ""), "TAKEN req_1");
    expect(tell("failed", second, ""), "OK");
    expect_claim("answered req_1");
}
END_TEST

START_TEST(an_answered_call_has_its_key_whenever_the_end_of_a_failed_one_comes)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        open_partition();
        expect_admitted(second);
        if (is_late)
            expect_applied(first, "1", "answered");
        expect(tell("failed", second, ""), "OK");
        if (!is_late)
            expect_applied(first, "1", "answered");
        expect_claim("answered req_1");
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
    tcase_add_test(t, a_retired_writers_open_claims_end_under_any_run_of_redis);
    tcase_add_test(t, a_retired_writers_claims_wait_for_all_that_was_saved_of_it);
    tcase_add_test(t, a_parked_partition_fences_a_writer_off_but_ends_no_claim);
    tcase_add_test(t, a_report_says_how_often_the_directory_was_taken_up);
    tcase_add_test(t, a_call_that_failed_frees_its_key_at_once);
    tcase_add_test(t, an_answer_is_stored_as_long_as_its_claim_stands);
    tcase_add_test(t, nothing_is_stored_of_a_call_that_failed);
    tcase_add_test(t, an_account_stores_no_more_than_its_share_of_a_day);
    tcase_add_test(t, what_may_be_stored_comes_back_as_the_day_passes);
    tcase_add_test(t, nothing_is_stored_by_a_call_whose_key_is_anothers);
    tcase_add_test(t, a_lost_claim_is_put_again_by_its_worker);
    tcase_add_test(t, a_claim_is_not_put_again_when_its_call_is_over);
    tcase_add_test(t, who_lost_its_claim_to_another_call_is_told);
    tcase_add_test(t, who_lost_its_claim_to_a_call_by_another_name_is_told);
    tcase_add_test(t, a_dead_claim_by_another_name_is_nobodys_when_one_is_put_again);
    tcase_add_test(t, a_claim_that_is_over_stands_in_nobodys_way);
    tcase_add_test(t, another_installations_redis_is_left_alone);
    tcase_add_test(t, an_end_restores_what_redis_lost);
    tcase_add_test(t, an_end_says_the_same_as_its_worker_did_before);
    tcase_add_test(t, an_end_without_an_answer_frees_only_its_own_claim);
    tcase_add_test(t, an_end_of_yesterday_claims_nothing);
    tcase_add_test(t, ends_of_several_writers_commute);
    tcase_add_test(t, a_call_that_is_open_gives_way_to_one_that_was_answered);
    tcase_add_test(t, an_answered_call_has_its_key_whenever_the_end_of_a_failed_one_comes);
    return run_tests(t, "claim_script");
}
