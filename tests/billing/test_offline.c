/* test_offline.c - allowances while Redis is away. */
#include "billing/offline.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/base/run.h"

#define ALLOWANCE INT64_C(500)

static struct money cny(int64_t nanos)
{
    return (struct money){.nanos = nanos, .currency = "CNY"};
}

static struct offline *start(int64_t allowance, int64_t age_ms)
{
    struct offline_config config = {allowance, age_ms};
    struct offline *o = offline_new(&config);
    struct money room = cny(10000);

    offline_learn(o, "owing", true, &room);
    offline_learn(o, "paid", false, &room);
    return o;
}

static uint64_t take(struct offline *o, const char *account, int64_t nanos)
{
    struct money most = cny(nanos);

    return offline_take(o, account, &most);
}

START_TEST(a_postpaid_account_takes_its_allowance_to_the_last_nano_and_no_more)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);

    ck_assert(take(o, "owing", ALLOWANCE - 1));
    ck_assert(!take(o, "owing", 2));
    ck_assert(take(o, "owing", 1));
    ck_assert(!take(o, "owing", 1));
    ck_assert(take(o, "owing", 0));
    ck_assert_uint_eq(offline_taken(o), 3);
}
END_TEST

START_TEST(prepaid_and_unknown_accounts_and_other_currencies_take_nothing)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    struct money dollars = {.nanos = 1, .currency = "USD"};

    ck_assert(!take(o, "paid", 0));
    ck_assert(!take(o, "nobody", 0));
    ck_assert(!offline_take(o, "owing", &dollars));
    ck_assert_uint_eq(offline_taken(o), 0);
}
END_TEST

START_TEST(the_zone_of_an_account_is_that_which_was_learned_last)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);

    ck_assert_str_eq(offline_zone(o, "owing"), "");
    offline_learn_zone(o, "owing", "Asia/Tokyo");
    offline_learn_zone(o, "owing", "Europe/Berlin");
    offline_learn_zone(o, "nobody", "Europe/Berlin");
    ck_assert_str_eq(offline_zone(o, "owing"), "Europe/Berlin");
    ck_assert_str_eq(offline_zone(o, "paid"), "");
    ck_assert_str_eq(offline_zone(o, "nobody"), "");
    offline_learn_zone(o, "owing", "");
    ck_assert_str_eq(offline_zone(o, "owing"), "");
}
END_TEST

START_TEST(what_was_free_of_the_credit_is_the_end_too)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    struct money room = cny(30), over = cny(-1);

    offline_learn(o, "owing", true, &room);
    ck_assert(!take(o, "owing", 31));
    ck_assert(take(o, "owing", 30));
    ck_assert(!take(o, "owing", 1));
    offline_learn(o, "deep", true, &over);
    ck_assert(!take(o, "deep", 0));
}
END_TEST

START_TEST(a_call_that_ended_counts_with_what_it_cost)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    uint64_t outage = take(o, "owing", ALLOWANCE);

    ck_assert(!take(o, "owing", 100));
    offline_settle(o, outage, "owing", ALLOWANCE, ALLOWANCE - 100);
    ck_assert(take(o, "owing", 100));
    ck_assert(!take(o, "owing", 1));
    offline_settle(o, outage, "owing", 100, 150); /* more than it had taken */
    offline_settle(o, outage, "owing", 0, 0);
    ck_assert(!take(o, "owing", 0));
}
END_TEST

START_TEST(the_next_outage_begins_with_a_whole_allowance_whatever_ends_late)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    uint64_t outage = take(o, "owing", ALLOWANCE);

    offline_end(o);
    ck_assert_uint_eq(offline_taken(o), 0);
    ck_assert(take(o, "owing", ALLOWANCE));
    offline_settle(o, outage, "owing", ALLOWANCE, 0); /* of the outage before: Redis has its hold */
    ck_assert(!take(o, "owing", 1));
}
END_TEST

START_TEST(what_redis_says_in_an_outage_of_others_changes_no_sum)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    struct money room = cny(10000);

    ck_assert(take(o, "owing", ALLOWANCE));
    offline_learn(o, "owing", true, &room);
    ck_assert(!take(o, "owing", 1));
    offline_learn(o, "owing", false, &room);
    offline_end(o);
    ck_assert(!take(o, "owing", 1));
}
END_TEST

START_TEST(what_is_too_old_counts_as_unknown)
{
    AUTO(offline) o = start(ALLOWANCE, -1);

    ck_assert(!take(o, "owing", 0));
}
END_TEST

START_TEST(without_an_allowance_nobody_goes_on)
{
    AUTO(offline) o = start(0, 1000000);

    ck_assert(!take(o, "owing", 0));
}
END_TEST

START_TEST(each_account_has_its_own_however_many_there_are)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    struct money room = cny(10000);
    char name[32];

    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        offline_learn(o, name, true, &room);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        ck_assert(take(o, name, ALLOWANCE));
        ck_assert(!take(o, name, 1));
    }
}
END_TEST

/* A full table is emptied when there is no outage, and takes nobody new while there is one. */
START_TEST(a_full_table_forgets_no_sum)
{
    AUTO(offline) o = start(ALLOWANCE, 1000000);
    struct money room = cny(10000);
    char name[32];

    ck_assert(take(o, "owing", ALLOWANCE));
    for (int i = 0; i < 150000; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        offline_learn(o, name, true, &room);
    }
    ck_assert(!take(o, "owing", 1));
    ck_assert(!take(o, "account-149999", 1));
    offline_end(o);
    offline_learn(o, "account-149999", true, &room);
    ck_assert(take(o, "account-149999", 1));
    ck_assert(!take(o, "account-0", 1));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("offline");

    tcase_add_test(t, a_postpaid_account_takes_its_allowance_to_the_last_nano_and_no_more);
    tcase_add_test(t, prepaid_and_unknown_accounts_and_other_currencies_take_nothing);
    tcase_add_test(t, the_zone_of_an_account_is_that_which_was_learned_last);
    tcase_add_test(t, what_was_free_of_the_credit_is_the_end_too);
    tcase_add_test(t, a_call_that_ended_counts_with_what_it_cost);
    tcase_add_test(t, the_next_outage_begins_with_a_whole_allowance_whatever_ends_late);
    tcase_add_test(t, what_redis_says_in_an_outage_of_others_changes_no_sum);
    tcase_add_test(t, what_is_too_old_counts_as_unknown);
    tcase_add_test(t, without_an_allowance_nobody_goes_on);
    tcase_add_test(t, each_account_has_its_own_however_many_there_are);
    tcase_add_test(t, a_full_table_forgets_no_sum);
    return run_tests(t, "offline");
}
