/* test_projection.c - a writer's journal and a real Redis: what is durable arrives there, exactly once, while it happens. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/projection_rig.h"

START_TEST(every_kind_of_record_has_its_effect)
{
    struct rig r;
    char period[] = "2026-11";

    rig_init(&r);
    snprintf(period, sizeof period, "%s", period_of(journal_now(r.journal)).text);
    open_account(&r, "acct-a", "12.5");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghij\",\"owner_kind\":\"account\",\"owner\":\"acct-a\",\"hash\":"
           "\"00ff\",\"pepper\":\"0a1b2c3d\","
           "\"expires_at\":null,\"revision\":4,\"at\":\"2026-11-22T01:02:03."
           "004Z\","
           "\"op\":\"op-k\"}");
    change(&r, RECORD_CATALOGUE, "",
           "{\"object\":\"model\",\"id\":\"alice/model\",\"revision\":9,\"at\":"
           "\"2026-11-22T01:02:03.004Z\",\"op\":\"op-m\",\"body\":{\"x\":[1,\"two\"]}}");
    call(&r, "acct-a", 1500000001);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    expect_account("acct-a", "balance", "10999999999");
    expect_account("acct-a", "room", "10999999999");
    expect_account("acct-a", "concurrency", "5");
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    AUTO_STRING key = fixture_ask(&fixture,
                                  "HMGET tg:{%s}:key:17abcdefghij owner_kind owner hash "
                                  "state expires_at",
                                  p);
    ck_assert_str_eq(key, "account acct-a 00ff active 0");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghij\",\"hash\":\"11ee\",\"pepper\":\"99999999\","
           "\"revision\":5,\"at\":\"2026-11-22T01:02:04.004Z\",\"op\":\"op-h\"}");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghik\",\"hash\":\"11ee\",\"pepper\":\"99999999\","
           "\"revision\":5,\"at\":\"2026-11-22T01:02:04.004Z\",\"op\":\"op-h\"}");
    ship(&r);
    AUTO_STRING hashed =
        fixture_ask(&fixture, "HMGET tg:{%s}:key:17abcdefghij owner hash pepper state", p);
    ck_assert_str_eq(hashed, "acct-a 11ee 99999999 active");
    AUTO_STRING unmade = fixture_ask(&fixture, "EXISTS tg:{%s}:key:17abcdefghik", p);
    ck_assert_str_eq(unmade, "0");
    AUTO_STRING catalogue =
        fixture_ask(&fixture, "HMGET tg:{m00}:catalogue model/alice/model revision");
    ck_assert_str_eq(catalogue, "9 {\"x\":[1,\"two\"]} 9");
    char day[DAY_TEXT];
    AUTO_STRING m = partition_text(SIDE_MODEL, "alice/model");
    AUTO_STRING field =
        xasprintf("alice/model %s CNY alice@2026-11-01T00:00:00.000Z 7000 alice:3,bob:1",
                  day_of(journal_now(r.journal), day));
    AUTO_STRING gross = fixture_ask(&fixture, "HGET tg:{%s}:gross:%s %s", m, period, field);
    ck_assert_str_eq(gross, "1500000001");
    AUTO_STRING changes = fixture_ask(&fixture, "XLEN tg:changes");
    ck_assert_str_eq(changes, "5");
    rig_free(&r);
}
END_TEST

START_TEST(traffic_arrives_exactly_once_while_it_happens)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, (size_t)_i);
    recover(&r);
    open_account(&r, "acct-a", "1000");
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = 0; j < 20; j++)
            call(&r, "acct-a", 1000000000);
        make_durable(&r);
    }
    ship(&r);
    expect_account("acct-a", "balance", "800000000000");
    ck_assert_uint_eq(projection_counts(r.projection).applied, 2 + 2 * 200);
    ck_assert_uint_eq(projection_counts(r.projection).duplicates, 0);
    ck_assert_uint_eq(projection_counts(r.projection).replays, 0);
    rig_free(&r);
}
END_TEST

static unsigned scripts_run(void)
{
    AUTO_STRING stats = fixture_ask(&fixture, "INFO commandstats");
    const char *calls = strstr(stats, "cmdstat_evalsha:calls=");
    unsigned n = 0;

    if (calls)
        ck_assert_int_eq(sscanf(calls, "cmdstat_evalsha:calls=%u", &n), 1);
    return n;
}

START_TEST(what_comes_in_quick_succession_travels_together_and_the_first_at_once)
{
    bool never = false;
    unsigned before, first;
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    is_held = true;
    open_account(&r, "acct-a", "1000");
    call(&r, "acct-a", 1); /* both scripts are loaded now */
    ship(&r);
    ck_assert(!loop_run_until(r.loop, &never, 200)); /* the last quick tick */
    let_go(&r);
    before = scripts_run();
    call(&r, "acct-a", 1);
    ship(&r);
    first = scripts_run();
    ck_assert_uint_eq(first - before, 2);
    for (unsigned i = 0; i < 10; i++) {
        call(&r, "acct-a", 1);
        make_durable(&r);
        ck_assert(!loop_run_until(r.loop, &never, 5));
    }
    ck_assert_uint_eq(scripts_run(), first);
    let_go(&r);
    ship(&r);
    ck_assert_uint_eq(scripts_run() - first, 2);
    expect_account("acct-a", "balance", "999999999988");
    rig_free(&r);
}
END_TEST

START_TEST(two_writers_add_up_and_wait_for_each_other)
{
    struct rig a, b;

    rig_init(&a);
    rig_init_in(&b, a.loop);
    open_account(&a, "acct-a", "1000");
    rig_connect(&a, INSTALLATION, 50);
    rig_connect(&b, INSTALLATION, 50);
    for (unsigned i = 0; i < 50; i++) {
        call(&a, "acct-a", 1000000000);
        call(&b, "acct-a", 2000000000);
    }
    ship(&a);
    ship(&b);
    recover(&a);
    recover(&b);
    expect_account("acct-a", "balance", "850000000000");
    rig_free(&b);
    rig_free(&a);
}
END_TEST

START_TEST(what_cannot_be_booked_goes_to_suspense_and_the_rest_goes_on)
{
    static const char *const bodies[] = {
        "{\"account\":\"acct-a\",\"op\":\"x\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\","
        "\"period\":\"2026-11\","
        "\"amount\":12}",
        "{\"account\":\"acct-a\",\"op\":\"x "
        "y\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\",\"period\":\"2026-11\","
        "\"amount\":\"12\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"yesterday\",\"period\":"
        "\"2026-11\","
        "\"amount\":\"12\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\","
        "\"amount\":\"12\"}",
        "{\"account\":\"../"
        "a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\",\"period\":\"2026-"
        "11\","
        "\"amount\":\"12\"}",
    };
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1");
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        change(&r, RECORD_CREDIT, "acct-a", bodies[i]);
    call(&r, "acct-a", 7);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    expect_account("acct-a", "balance", "999999993");
    ck_assert_uint_eq(projection_counts(r.projection).suspended, ARRAY_LEN(bodies));
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    AUTO_STRING suspended = fixture_ask(&fixture, "HGET tg:{%s}:suspense %s", p, "x");
    ck_assert_str_eq(suspended, "(nil)");
    AUTO_STRING dump = facts();
    ck_assert_ptr_nonnull(strstr(dump, "record-is-unreadable {\"kind\":\"credit\""));
    rig_free(&r);
}
END_TEST

START_TEST(it_can_be_freed_while_commands_are_under_way)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    some_traffic(&r, 200);
    make_durable(&r);
    rig_connect(&r, INSTALLATION, 2);
    ck_assert(!loop_run_until(r.loop, &never, _i));
    projection_free(KEEP(r.projection));
    ck_assert(!loop_run_until(r.loop, &never, 50));
    rig_free(&r);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("projection");

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, every_kind_of_record_has_its_effect);
    tcase_add_loop_test(t, traffic_arrives_exactly_once_while_it_happens, 1, 4);
    tcase_add_test(t, what_comes_in_quick_succession_travels_together_and_the_first_at_once);
    tcase_add_test(t, two_writers_add_up_and_wait_for_each_other);
    tcase_add_test(t, what_cannot_be_booked_goes_to_suspense_and_the_rest_goes_on);
    tcase_add_loop_test(t, it_can_be_freed_while_commands_are_under_way, 1, 6);
    return run_tests(t, "projection");
}
