/* test_projection_writer.c - a writer learns that it may ship nothing more, or that its holds are needed again, however it came to
 * that. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/projection_rig.h"

START_TEST(a_partition_admits_only_when_its_holds_are_back)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    r.keeps_holds = true;
    rig_connect(&r, INSTALLATION, 50);
    ck_assert(!loop_run_until(r.loop, &never, 300));
    ck_assert_uint_eq(r.holds_wanted, 1);
    AUTO_STRING run_id = fixture_ask(&fixture, "HGET tg:{a17}:state run_id");
    ck_assert_str_eq(run_id, "(nil)");
    projection_holds_are_back(r.projection);
    recover(&r);
    AUTO_STRING after = fixture_ask(&fixture, "HGET tg:{a17}:state run_id");
    ck_assert_str_eq(after, redis_run_id(r.redis, SPAN("")));
    rig_free(&r);
}
END_TEST

static void set_cursor(struct rig *r, const char *cursor)
{
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");

    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:cursors %s %s", p,
                                    journal_writer(r->journal), cursor));
}

START_TEST(a_cursor_above_the_journals_head_stops_the_directory)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    make_durable(&r);
    set_cursor(&r, "2 00000000");
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "its journal ends at 1");
    rig_free(&r);
}
END_TEST

/* At the head, and below it, where the record is only seen when it passes by. */
START_TEST(another_record_under_the_same_number_stops_the_directory)
{
    struct rig r;

    rig_init(&r);
    for (int i = 0; i <= _i; i++)
        call(&r, "acct-a", 1);
    make_durable(&r);
    set_cursor(&r, "1 12345678");
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "is another one in Redis than in its journal");
    AUTO_STRING dump = facts();
    ck_assert_ptr_null(strstr(dump, "account"));
    rig_free(&r);
}
END_TEST

/* Its connection outlived the pause, so nothing else tells it. */
START_TEST(a_writer_that_was_retired_while_it_stood_still_ships_nothing_more)
{
    struct rig r;
    struct err err;

    rig_init(&r);
    call(&r, "acct-a", 1);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    AUTO_STRING dir = xasprintf("%s/retired", r.archive);
    AUTO_STRING final = xasprintf("%s/%s.json", dir, journal_writer(r.journal));
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    ck_assert(file_write_atomic(final, 0644, SPAN("{}"), &err));
    slept_ms = 60000;
    call(&r, "acct-a", 1);
    make_durable(&r);
    expect_stopped(&r, "was retired");
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    rig_free(&r);
}
END_TEST

static void fence_off(const char *writer, struct partition p)
{
    AUTO_STRING field = xasprintf("retired %s", writer);
    char key[PARTITION_KEY];

    partition_key(p, "state", NULL, key);
    freeReplyObject(fixture_command(&fixture, "HSET %s %s fenced", key, field));
}

/* It slept without knowing it, and the archive that it sees is an old one: nothing but the partitions tells it. */
START_TEST(a_writer_that_was_fenced_off_ships_nothing_more_and_keeps_it_all)
{
    struct partition p = partition_of(SIDE_ACCOUNT, SPAN("acct-a"));
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++)
        fence_off(journal_writer(r.journal), partition_at(lane));
    call(&r, "acct-a", 1);
    make_durable(&r);
    expect_stopped(&r, "was retired");
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    ck_assert_uint_eq(journal_heads(r.journal)->at[SIDE_ACCOUNT][p.index].n, 2);
    rig_free(&r);
}
END_TEST

/* What it has to ship is in no partition that says so. */
START_TEST(a_writer_that_was_fenced_off_does_not_come_back)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    fence_off(journal_writer(r.journal), (struct partition){SIDE_MODEL, 63});
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "was retired");
    rig_free(&r);
}
END_TEST

/* In a partition where it has no record by which it could see it; nobody else tells it. */
START_TEST(a_writer_whose_holds_went_with_a_rebuild_puts_them_again)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ck_assert_uint_eq(r.holds_wanted, 1);
    freeReplyObject(fixture_command(&fixture, "HSET tg:{a63}:live %s %s", journal_writer(r.journal),
                                    "- 1792000000000 1"));
    for (int ms = 0; ms < WAIT_MS && r.holds_wanted < 2; ms += 20)
        ck_assert(!loop_run_until(r.loop, &never, 20));
    ck_assert_uint_eq(r.holds_wanted, 2);
    rig_free(&r);
}
END_TEST

/* A partition must wait for who has come until its holds are there. */
START_TEST(a_writer_is_not_back_before_its_holds_are)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    some_traffic(&r, 40);
    r.keeps_holds = true;
    rig_connect(&r, INSTALLATION, 1);
    for (int ms = 0; ms < WAIT_MS && !r.holds_wanted; ms += 20)
        ck_assert(!loop_run_until(r.loop, &never, 20));
    ck_assert_uint_eq(r.holds_wanted, 1);
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++) {
        char key[PARTITION_KEY];

        partition_key(partition_at(lane), "live", NULL, key);
        AUTO_STRING word = fixture_ask(&fixture, "HGET %s %s", key, journal_writer(r.journal));
        ck_assert_msg(word[0] == '-', "%s: %s", key, word);
    }
    projection_holds_are_back(r.projection);
    recover(&r);
    rig_free(&r);
}
END_TEST

START_TEST(a_writer_that_stood_still_goes_on)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    slept_ms = 60000;
    call(&r, "acct-a", 7);
    ship(&r);
    expect_account("acct-a", "foreign:CNY", "-7");
    rig_free(&r);
}
END_TEST

START_TEST(another_installations_redis_gets_nothing)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    make_durable(&r);
    freeReplyObject(fixture_command(&fixture, "HSET tg:{m63}:state installation inst-2"));
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "another installation");
    AUTO_STRING dump = facts();
    ck_assert_str_eq(dump, "");
    rig_free(&r);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("projection_writer");

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, a_partition_admits_only_when_its_holds_are_back);
    tcase_add_test(t, a_cursor_above_the_journals_head_stops_the_directory);
    tcase_add_loop_test(t, another_record_under_the_same_number_stops_the_directory, 0, 2);
    tcase_add_test(t, a_writer_that_was_retired_while_it_stood_still_ships_nothing_more);
    tcase_add_test(t, a_writer_that_was_fenced_off_ships_nothing_more_and_keeps_it_all);
    tcase_add_test(t, a_writer_that_was_fenced_off_does_not_come_back);
    tcase_add_test(t, a_writer_whose_holds_went_with_a_rebuild_puts_them_again);
    tcase_add_test(t, a_writer_is_not_back_before_its_holds_are);
    tcase_add_test(t, a_writer_that_stood_still_goes_on);
    tcase_add_test(t, another_installations_redis_gets_nothing);
    return run_tests(t, "projection_writer");
}
