/* test_hold_script.c - holds are released and renewed, and those that nobody renews are swept. */
#include <check.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/admit_fixture.h"

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

/* And say nothing of who is live: that knows only a writer that comes. */
START_TEST(holds_can_be_put_before_anything_else_is_back)
{
    set("FLUSHALL");
    expect(hold("renew", "req_1", "40"), "OK OK");
    expect_field("account:acct", "room", "-40");
    expect_field("state", "installation", "(nil)");
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

int main(void)
{
    TCase *t = tcase_create("hold_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_release_gives_back_and_leaves_a_mark);
    tcase_add_test(t, an_admit_that_comes_after_its_release_places_nothing);
    tcase_add_test(t, a_renewal_that_comes_after_its_release_places_nothing);
    tcase_add_test(t, a_renewal_that_comes_after_its_call_was_charged_places_nothing);
    tcase_add_test(t, a_lost_hold_is_put_again_with_its_amount);
    tcase_add_test(t, holds_can_be_put_before_anything_else_is_back);
    tcase_add_test(t, a_renewal_brings_a_hold_up_to_its_amount_and_never_down);
    tcase_add_test(t, holds_of_another_installation_are_refused);
    tcase_add_test(t, a_malformed_entry_or_room_is_left_alone);
    tcase_add_test(t, two_looks_a_minute_apart_remove_what_nobody_renewed);
    tcase_add_test(t, a_look_under_another_run_begins_anew);
    tcase_add_test(t, a_malformed_hold_is_removed_and_moves_no_money);
    return run_tests(t, "hold_script");
}
