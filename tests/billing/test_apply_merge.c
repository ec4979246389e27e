/* test_apply_merge.c - what several writers wrote about one thing, or one wrote twice, comes to the same in any order. */
#include <check.h>

#include "tests/base/run.h"
#include "tests/billing/apply_model.h"

static struct fact refund(unsigned writer, unsigned op, int64_t at, int64_t amount)
{
    return (struct fact){.kind = REFUND, .writer = writer, .op = op, .at = at, .amount = amount};
}

START_TEST(a_refund_asked_for_of_two_writers_counts_once_and_the_first_of_them)
{
    open_account();
    tell(refund(0, 1, 20, 300));
    tell(refund(1, 1, 10, 200));
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "300");
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "200");
    expect_field("tg:{a17}:refunded", "2026-11 acct0 CNY", "200");
    expect_field("tg:{a17}:refunded", "2026-11 acct0 CNY count", "1");
    compare_with_model("two writers", 0);
}
END_TEST

START_TEST(a_refund_above_the_call_is_in_suspense_and_not_in_the_balance)
{
    open_account();
    tell(refund(0, 1, 20, 700));
    tell(refund(1, 2, 30, 700));
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    expect_field("tg:{a17}:account:acct0", "room", "700");
    expect_field("tg:{a17}:suspense", "refund call0-0 op2", "refund-is-above-the-call 700 w-b 1");
    compare_with_model("the later of the two", 0);
}
END_TEST

START_TEST(the_earliest_of_a_repeated_credit_counts_also_when_it_comes_last)
{
    open_account();
    tell((struct fact){.kind = CREDIT, .amount = 700, .at = 9, .op = 1});
    tell((struct fact){.kind = CREDIT, .writer = 1, .amount = 500, .at = 3, .op = 1});
    tell((struct fact){.kind = CREDIT, .writer = 2, .amount = 900, .at = 30, .op = 1});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:account:acct0", "balance", "700");
    apply(1, 1, 1, "OK 1 ");
    apply(2, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "500");
    expect_field("tg:{a17}:account:acct0", "room", "500");
    compare_with_model("a credit thrice", 0);
}
END_TEST

/* As two consoles may have written them while neither knew of the other. */
START_TEST(of_a_credit_and_an_adjustment_of_one_operation_the_earlier_counts)
{
    open_account();
    tell((struct fact){.kind = CREDIT, .amount = 700, .at = 9, .op = 1, .month = 1});
    tell((struct fact){
        .kind = CREDIT, .writer = 1, .amount = -500, .at = 3, .op = 1, .adjusts = true});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:booked", "2026-12 credit acct0 CNY", "700");
    apply(1, 1, 1, "OK 1 ");
    expect_field("tg:{a17}:account:acct0", "balance", "-500");
    expect_field("tg:{a17}:booked", "2026-11 adjust acct0 CNY", "-500");
    expect_field("tg:{a17}:booked", "2026-12 credit acct0 CNY", "(nil)");
    compare_with_model("a credit that was an adjustment", 0);
}
END_TEST

START_TEST(a_sum_in_another_currency_is_in_suspense_until_it_is_zero)
{
    open_account();
    tell((struct fact){.kind = CALL, .currency = 1, .amount = 40});
    tell((struct fact){.kind = CREDIT, .currency = 1, .amount = 40});
    apply(0, 2, 2, "OK 2 ");
    expect_field("tg:{a17}:suspense", "currency acct0 USD", "account-has-another-currency -40");
    expect_field("tg:{a17}:account:acct0", "foreign:USD", "-40");
    apply(0, 3, 3, "OK 3 ");
    expect_field("tg:{a17}:suspense", "currency acct0 USD", "(nil)");
    compare_with_model("a foreign call made good", 0);
}
END_TEST

START_TEST(a_revoked_key_never_comes_back)
{
    open_account();
    tell((struct fact){.kind = KEY, .revision = 1});
    tell((struct fact){.kind = KEY, .writer = 1, .revision = 2, .form = REVOKE});
    tell((struct fact){.kind = KEY, .writer = 2, .revision = 3, .op = 1});
    for (unsigned i = 0; i < WRITERS; i++) {
        unsigned w = (i + (unsigned)_i) % WRITERS;
        apply(w, 1, story.count[w], "OK");
    }
    expect_field("tg:{a17}:key:17key0", "state", "revoked");
    compare_with_model("a revoked key", 0);
}
END_TEST

/* Whichever order their records come in. */
static void apply_from(unsigned first)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        unsigned w = (i + first) % WRITERS;
        apply(w, 1, story.count[w], "OK");
    }
}

START_TEST(two_changes_of_different_limits_both_stand)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1, .rpm = 60, .limit = 5});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 7, .op = 1, .rpm = 90});
    tell((struct fact){.kind = ACCOUNT,
                       .form = LIMIT,
                       .writer = 2,
                       .revision = 7,
                       .op = 2,
                       .sets_limit = true,
                       .limit = 70});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "90");
    expect_field("tg:{a17}:account:acct0", "credit_limit", "70");
    expect_field("tg:{a17}:account:acct0", "room", "70");
    compare_with_model("two limits", 0);
}
END_TEST

/* Two consoles wrote the operation; between them another one set the limit anew. */
START_TEST(a_repeated_change_does_not_set_the_old_limit_again)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1, .rpm = 60});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 0, .revision = 10, .at = 1, .op = 1, .rpm = 5});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 20, .at = 2, .op = 2, .rpm = 7});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 2, .revision = 30, .at = 3, .op = 1, .rpm = 5});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "7");
    compare_with_model("a repeated change", 0);
}
END_TEST

START_TEST(a_repeated_creation_does_not_set_the_first_limits_again)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .writer = 0, .revision = 1, .at = 1, .rpm = 60});
    tell((struct fact){
        .kind = ACCOUNT, .form = LIMIT, .writer = 1, .revision = 20, .at = 2, .op = 2, .rpm = 7});
    tell((struct fact){.kind = ACCOUNT, .writer = 2, .revision = 30, .at = 3, .rpm = 60});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:account:acct0", "rpm", "7");
    compare_with_model("a repeated creation", 0);
}
END_TEST

START_TEST(what_only_a_repetition_named_is_set_no_longer)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = KEY, .revision = 1, .rpm = 60});
    tell((struct fact){
        .kind = KEY, .form = LIMIT, .writer = 1, .revision = 9, .at = 9, .op = 1, .rpm = 7});
    tell((struct fact){
        .kind = KEY, .form = LIMIT, .writer = 2, .revision = 8, .at = 8, .op = 1, .rpm = 8});
    apply_from((unsigned)_i);
    expect_field("tg:{a17}:key:17key0", "rpm", "8");
    compare_with_model("the first of two", 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("apply_merge");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_refund_asked_for_of_two_writers_counts_once_and_the_first_of_them);
    tcase_add_test(t, a_refund_above_the_call_is_in_suspense_and_not_in_the_balance);
    tcase_add_test(t, the_earliest_of_a_repeated_credit_counts_also_when_it_comes_last);
    tcase_add_test(t, of_a_credit_and_an_adjustment_of_one_operation_the_earlier_counts);
    tcase_add_test(t, a_sum_in_another_currency_is_in_suspense_until_it_is_zero);
    tcase_add_loop_test(t, a_revoked_key_never_comes_back, 0, WRITERS);
    tcase_add_loop_test(t, two_changes_of_different_limits_both_stand, 0, WRITERS);
    tcase_add_loop_test(t, a_repeated_change_does_not_set_the_old_limit_again, 0, WRITERS);
    tcase_add_loop_test(t, a_repeated_creation_does_not_set_the_first_limits_again, 0, WRITERS);
    tcase_add_loop_test(t, what_only_a_repetition_named_is_set_no_longer, 0, WRITERS);
    return run_tests(t, "apply_merge");
}
