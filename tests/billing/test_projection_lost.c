/* test_projection_lost.c - whatever Redis lost is replayed, and a partition that is parked holds up no other. */
#include <check.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/projection_rig.h"

START_TEST(what_redis_lost_is_replayed_when_a_record_finds_a_gap)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 100);
    ship(&r);
    struct snapshot *earlier = fixture_snapshot(&fixture);
    some_traffic(&r, 300);
    ship(&r);
    AUTO_STRING before = facts();
    fixture_restore(&fixture, earlier);
    snapshot_free(earlier);
    call(&r, "acct-a", 0);
    ship(&r);
    ck_assert_uint_ge(projection_counts(r.projection).gaps, 1);
    expect_account("acct-a", "opened", "1");
    AUTO_STRING after = facts();
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    rig_disconnect(&r);
    rig_connect(&r, INSTALLATION, 7);
    ship(&r);
    AUTO_STRING rebuilt = facts();
    ck_assert_str_eq(after, rebuilt);
    ck_assert_str_ne(before, "");
    rig_free(&r);
}
END_TEST

START_TEST(a_redis_that_lost_everything_comes_back_whole)
{
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 700);
    rig_connect(&r, INSTALLATION, 20);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    fixture_kill(&fixture);
    call(&r, "acct-b", 5);
    make_durable(&r);
    fixture_restart(&fixture);
    ship(&r);
    recover(&r);
    AUTO_STRING balance = facts();
    ck_assert_ptr_nonnull(strstr(balance, "acct-b"));
    ck_assert_uint_gt(strlen(balance), strlen(before));
    ck_assert_uint_ge(r.holds_wanted, 2);
    rig_free(&r);
}
END_TEST

START_TEST(a_parked_partition_holds_up_no_other)
{
    struct rig r;

    rig_init(&r);
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:state parked why", p));
    for (int i = 0; i < 30; i++) {
        call(&r, "acct-a", 1);
        call(&r, "acct-b", 1);
    }
    make_durable(&r);
    rig_connect(&r, INSTALLATION, 3);
    recover(&r);
    expect_account("acct-b", "foreign:CNY", "-30");
    expect_account("acct-a", "foreign:CNY", "(nil)");
    ck_assert(!projection_is_current(r.projection));
    rig_free(&r);
}
END_TEST

static void wait_for_facts(struct rig *r, const char *expected)
{
    bool is_equal = false, never = false;

    for (int i = 0; i < 200 && !is_equal; i++) {
        ck_assert(!loop_run_until(r->loop, &never, 50));
        AUTO_STRING found = facts();
        is_equal = strcmp(found, expected) == 0;
    }
    ck_assert(is_equal);
}

START_TEST(a_redis_that_was_emptied_is_noticed_without_any_new_record)
{
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 50);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    AUTO_STRING before = facts();
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    wait_for_facts(&r, before);
    rig_free(&r);
}
END_TEST

START_TEST(a_parked_partition_that_was_rebuilt_is_shipped_to_again)
{
    struct rig r;

    rig_init(&r);
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 50);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = facts();
    rig_disconnect(&r);
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:state parked why", p));
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    expect_account("acct-a", "balance", "(nil)");
    freeReplyObject(fixture_command(&fixture, "HDEL tg:{%s}:state parked", p));
    wait_for_facts(&r, before);
    ship(&r);
    rig_free(&r);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("projection_lost");

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, what_redis_lost_is_replayed_when_a_record_finds_a_gap);
    tcase_add_test(t, a_redis_that_lost_everything_comes_back_whole);
    tcase_add_test(t, a_parked_partition_holds_up_no_other);
    tcase_add_test(t, a_redis_that_was_emptied_is_noticed_without_any_new_record);
    tcase_add_test(t, a_parked_partition_that_was_rebuilt_is_shipped_to_again);
    return run_tests(t, "projection_lost");
}
