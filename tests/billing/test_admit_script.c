/* test_admit_script.c - what is admitted, what is refused and why, budgets among it. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/admit_fixture.h"

/* ---- credit ---- */

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

int main(void)
{
    TCase *t = tcase_create("admit_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_hold_takes_its_amount_from_what_is_left);
    tcase_add_test(t, asking_again_for_the_same_call_takes_nothing_more);
    tcase_add_test(t, every_refusal_says_why_and_changes_nothing);
    tcase_add_test(t, a_key_that_expires_later_admits);
    tcase_add_test(t, a_free_call_is_admitted_whatever_is_left);
    tcase_add_test(t, the_last_nano_can_be_held_beyond_doubles);
    tcase_add_test(t, parallel_calls_never_pass_what_is_left);
    tcase_add_test(t, what_fits_a_budget_exactly_is_let_in);
    tcase_add_test(t, a_month_that_is_spent_is_told_before_the_day);
    tcase_add_test(t, a_key_spends_its_own_budget_alone);
    tcase_add_test(t, a_budget_for_one_model_lets_others_through);
    tcase_add_test(t, what_ran_on_another_day_counts_in_the_month_alone);
    tcase_add_test(t, what_costs_nothing_needs_no_budget);
    return run_tests(t, "admit_script");
}
