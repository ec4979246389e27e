/* test_recovered_script.c - a partition whose Redis was lost admits again only when those who wrote to it are back. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/admit_fixture.h"

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

int main(void)
{
    TCase *t = tcase_create("recovered_script");

    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
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
    return run_tests(t, "recovered_script");
}
