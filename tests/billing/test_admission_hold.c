/* test_admission_hold.c - a hold from the caller's side: abandoned, put again after a loss, and swept when nobody renews it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/sweeper.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/admission_fixture.h"

START_TEST(an_abandoned_call_leaves_nothing_at_whatever_point)
{
    struct call c;

    ask(&c, "req_1", 1000000000);
    if (_i == 1)
        turn(1);
    if (_i == 2)
        await(&c);
    if (_i == 3) {
        set("HSET tg:{%s}:state run_id earlier", partition);
        turn(50);
    }
    hold_abandon(c.hold);
    turn(300);
    if (_i != 1)
        ck_assert_uint_eq(c.answers, _i == 2);
    await_field("account:acct", "room", "5000000000");
    await_field("holds:acct", "req_1", "(nil)");
}
END_TEST

START_TEST(a_call_waits_no_longer_because_others_come)
{
    static struct call calls[5 * CALLS];
    unsigned count = 0;

    set("HSET tg:{%s}:state run_id earlier", partition);
    do {
        char request_id[16];
        snprintf(request_id, sizeof request_id, "req_%u", count);
        ask(&calls[count++], request_id, 10000000);
        turn(10);
    } while (!calls[0].is_answered && count < ARRAY_LEN(calls));
    ck_assert_uint_eq(calls[0].answers, 1);
    ck_assert_int_eq(calls[0].answer.verdict, VERDICT_RECOVERING);
    for (unsigned i = 0; i < count; i++)
        hold_abandon(calls[i].hold);
}
END_TEST

START_TEST(holds_that_redis_lost_are_put_again)
{
    static struct call calls[CALLS];
    bool is_done = false;

    for (unsigned i = 0; i < CALLS; i++) {
        char request_id[16];
        snprintf(request_id, sizeof request_id, "req_%u", i);
        ask(&calls[i], request_id, 10000000);
    }
    for (unsigned i = 0; i < CALLS; i++)
        await(&calls[i]);
    set("FLUSHALL");
    open_partition("5000000000");
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(!is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    AUTO_STRING open = fixture_ask(&fixture, "HLEN tg:{%s}:holds:acct", partition);
    ck_assert_str_eq(open, "200");
    expect_field("account:acct", "room", "3000000000");
    for (unsigned i = 0; i < CALLS; i++)
        hold_settled(calls[i].hold, 0);
    is_done = false;
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
}
END_TEST

static unsigned open_calls(void)
{
    AUTO_STRING open = fixture_ask(&fixture, "HLEN tg:{%s}:holds:acct", partition);

    return (unsigned)strtoul(open, NULL, 10);
}

START_TEST(a_parked_partition_is_passed_over_until_it_was_rebuilt)
{
    bool is_done = false;
    struct call c;

    ask(&c, "req_1", 10000000);
    await(&c);
    set("FLUSHALL");
    open_partition("5000000000");
    set("HSET tg:{%s}:state parked why", partition);
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    ck_assert_uint_eq(open_calls(), 0);
    set("HDEL tg:{%s}:state parked", partition);
    is_done = false;
    admission_put_again(admission, set_flag, &is_done);
    ck_assert(loop_run_until(loop, &is_done, WAIT_MS));
    ck_assert_uint_eq(open_calls(), 1);
    hold_settled(c.hold, 0);
}
END_TEST

/* The release finds Redis away, comes again, and its mark keeps the admit out that may still be under way. */
START_TEST(a_release_is_repeated_until_redis_has_it)
{
    struct call c;

    ask(&c, "req_1", 1000000000);
    await(&c);
    fixture_kill(&fixture);
    turn(50);
    hold_abandon(c.hold);
    fixture_restart(&fixture);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    open_partition("4000000000");
    set("HSET tg:{%s}:holds:acct req_1 %s", partition, "1000000000 w-a 1700000000000");
    await_field("holds:acct", "req_1", "(nil)");
    expect_field("account:acct", "room", "5000000000");
    ck_assert_int_eq(verdict_of("req_1", 1), VERDICT_UNAVAILABLE);
}
END_TEST

START_TEST(it_can_be_freed_before_its_holds_and_answers)
{
    struct call c, d;

    ask(&c, "req_1", 1);
    await(&c);
    ask(&d, "req_2", 1);
    admission_free(KEEP(admission));
    turn(50);
    ck_assert(!d.is_answered);
    hold_abandon(c.hold);
    hold_settled(d.hold, 0);
}
END_TEST

START_TEST(the_sweeper_removes_what_two_looks_found_unrenewed)
{
    struct sweeper_config config = {"inst-1", 1000};
    AUTO(sweeper) s = sweeper_new(loop, redis, &config);

    for (int i = 0; i < 100; i++) {
        set("HSET tg:{%s}:holds:acct%d req_%d %s", partition, i, i, "7 w-dead 1700000000000");
        set("SADD tg:{%s}:held acct%d", partition, i);
    }
    await_field("looks:acct42", "req_42", "7 w-dead 1700000000000");
    ck_assert_uint_eq(sweeper_removed(s), 0);
    for (int waited = 0; waited < WAIT_MS && sweeper_removed(s) < 100; waited += LOOK_MS)
        turn(LOOK_MS);
    ck_assert_uint_eq(sweeper_removed(s), 100);
    expect_field("account:acct42", "room", "7");
    AUTO_STRING left =
        fixture_ask(&fixture, "EXISTS tg:{%s}:held tg:{%s}:holds:acct42", partition, partition);
    ck_assert_str_eq(left, "0");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admission_hold");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, an_abandoned_call_leaves_nothing_at_whatever_point, 0, 4);
    tcase_add_test(t, a_call_waits_no_longer_because_others_come);
    tcase_add_test(t, holds_that_redis_lost_are_put_again);
    tcase_add_test(t, a_parked_partition_is_passed_over_until_it_was_rebuilt);
    tcase_add_test(t, a_release_is_repeated_until_redis_has_it);
    tcase_add_test(t, it_can_be_freed_before_its_holds_and_answers);
    tcase_add_test(t, the_sweeper_removes_what_two_looks_found_unrenewed);
    return run_tests(t, "admission_hold");
}
