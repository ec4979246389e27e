/* test_admission.c - who is admitted, as the caller is told it, and on which day a call counts. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/admission_fixture.h"

START_TEST(two_hundred_calls_at_once_on_credit_for_fifty_admit_fifty)
{
    static struct call calls[CALLS];
    unsigned admitted = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        char request_id[16];
        snprintf(request_id, sizeof request_id, "req_%u", i);
        ask(&calls[i], request_id, 100000000);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        await(&calls[i]);
        admitted += calls[i].answer.verdict == VERDICT_ADMITTED;
        if (calls[i].answer.verdict != VERDICT_ADMITTED) {
            ck_assert_int_eq(calls[i].answer.verdict, VERDICT_CREDIT);
            ck_assert_int_eq(calls[i].answer.left.nanos, 0);
        }
    }
    ck_assert_uint_eq(admitted, 50);
    expect_field("account:acct", "room", "0");
    for (unsigned i = 0; i < CALLS; i++)
        hold_abandon(calls[i].hold);
    await_field("account:acct", "room", "5000000000");
}
END_TEST

START_TEST(the_answer_says_what_is_left_and_how_many_are_open)
{
    struct call a, b;

    set("HSET tg:{%s}:account:acct concurrency 1", partition);
    ask(&a, "req_a", 2000000000);
    await(&a);
    ck_assert_int_eq(a.answer.verdict, VERDICT_ADMITTED);
    ck_assert_int_eq(a.answer.left.nanos, 3000000000);
    ck_assert_str_eq(a.answer.left.currency, "CNY");
    ck_assert_int_eq(a.answer.open, 1);
    ck_assert_int_eq(a.answer.open_max, 1);
    ask(&b, "req_b", 1);
    await(&b);
    ck_assert_int_eq(b.answer.verdict, VERDICT_CONCURRENCY);
    ck_assert_int_eq(b.answer.retry_after_ms, 1000);
    hold_settled(a.hold, 0);
    hold_settled(b.hold, 0);
}
END_TEST

/* {command that makes the world so, the verdict}. */
START_TEST(each_refusal_has_its_verdict)
{
    static const struct {
        const char *world;
        enum verdict verdict;
        bool has_failed;
    } rows[] = {
        {"HSET tg:{%s}:state installation inst-2", VERDICT_WRONG_REDIS, true},
        {"HSET tg:{%s}:state parked why", VERDICT_UNAVAILABLE, true},
        {"HSET tg:{%s}:index:acct req_1 1-1", VERDICT_UNAVAILABLE, true},
        {"SET tg:{%s}:state text", VERDICT_UNAVAILABLE, true},
        {"DEL tg:{%s}:key:17abcdefghij", VERDICT_KEY_UNKNOWN, false},
        {"HSET tg:{%s}:key:17abcdefghij state revoked", VERDICT_KEY_REVOKED, false},
        {"HSET tg:{%s}:key:17abcdefghij expires_at 1700000000000000000", VERDICT_KEY_EXPIRED,
         false},
        {"DEL tg:{%s}:account:acct", VERDICT_ACCOUNT_UNKNOWN, false},
        {"HSET tg:{%s}:account:acct room 0", VERDICT_CREDIT, false},
        {"HDEL tg:{%s}:state run_id", VERDICT_RECOVERING, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;
        set("FLUSHALL");
        open_partition("5000000000");
        set(rows[i].world, partition);
        ask(&c, "req_1", 1);
        await(&c);
        ck_assert_msg(c.answer.verdict == rows[i].verdict, "row %zu: %d", i, c.answer.verdict);
        ck_assert_int_eq(c.has_failed, rows[i].has_failed);
        hold_abandon(c.hold);
    }
}
END_TEST

static void ask_at(struct call *c, const char *request_id, const char *at, const char *zone)
{
    struct admission_request request = {.request_id = request_id,
                                        .account = "acct",
                                        .key = "17abcdefghij",
                                        .first_key = "17abcdefghij",
                                        .amount_nanos = 7,
                                        .currency = "CNY",
                                        .model = "demo/m",
                                        .zone = zone};

    ck_assert(clock_parse(span_of(at), &request.started_at, NULL));
    *c = (struct call){0};
    c->hold = admission_admit(admission, &request, on_answer, c);
    await(c);
}

/* Of an entry in `holds`. */
static void expect_day(const char *request_id, const char *day)
{
    AUTO_STRING entry = fixture_ask(&fixture, "HGET tg:{%s}:holds:acct %s", partition, request_id);

    ck_assert_msg(strstr(entry, day), "%s counts on another day: %s", request_id, entry);
}

/* 23:30 of the day before in New York, 13:30 in Tokyo. */
START_TEST(a_call_counts_on_the_day_of_its_accounts_zone_whatever_was_thought)
{
    static const char at[] = "2026-11-22T04:30:00.000Z";
    struct call known, unknown, none, outdated;

    set("HSET tg:{%s}:account:acct zone America/New_York", partition);
    ask_at(&unknown, "req_1", at, "");
    ask_at(&known, "req_2", at, "America/New_York");
    ask_at(&outdated, "req_3", at, "Asia/Tokyo");
    set("HSET tg:{%s}:account:acct zone %s", partition, "");
    ask_at(&none, "req_4", at, "America/New_York");
    ck_assert_str_eq(hold_zone(unknown.hold), "America/New_York");
    ck_assert_str_eq(hold_began_on(unknown.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(known.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(outdated.hold), "2026-11-21");
    ck_assert_str_eq(hold_began_on(none.hold), "");
    expect_day("req_1", " 2026-11-21 ");
    expect_day("req_3", " 2026-11-21 ");
    expect_day("req_4", " 2026-11-22 ");
    for (struct call *const *c = (struct call *const[]){&known, &unknown, &none, &outdated, NULL};
         *c; c++) {
        ck_assert_int_eq((*c)->answer.verdict, VERDICT_ADMITTED);
        ck_assert_uint_eq((*c)->answers, 1);
        hold_settled((*c)->hold, 7);
    }
}
END_TEST

START_TEST(a_hold_keeps_its_day_when_the_zone_changes_under_it)
{
    struct call c;
    bool is_put = false;

    set("HSET tg:{%s}:account:acct zone America/New_York", partition);
    ask_at(&c, "req_1", "2026-11-22T04:30:00.000Z", "America/New_York");
    set("HSET tg:{%s}:account:acct zone Asia/Tokyo", partition);
    set("DEL tg:{%s}:holds:acct", partition);
    admission_put_again(admission, set_flag, &is_put);
    ck_assert(loop_run_until(loop, &is_put, WAIT_MS));
    expect_day("req_1", " 2026-11-21 ");
    ck_assert_str_eq(hold_began_on(c.hold), "2026-11-21");
    hold_settled(c.hold, 7);
}
END_TEST

START_TEST(a_zone_that_this_machine_does_not_know_admits_nobody)
{
    struct call c;

    set("HSET tg:{%s}:account:acct zone Mars/Olympus", partition);
    ask_at(&c, "req_1", "2026-11-22T04:30:00.000Z", "");
    ck_assert_int_eq(c.answer.verdict, VERDICT_UNAVAILABLE);
    ck_assert(c.has_failed);
    ck_assert_ptr_nonnull(strstr(c.err.text, "acct"));
    ck_assert_ptr_nonnull(strstr(c.err.text, "\"Mars/Olympus\" is not known to this machine"));
    hold_abandon(c.hold);
}
END_TEST

START_TEST(a_call_waits_while_the_partition_recovers)
{
    struct call c;

    set("HSET tg:{%s}:state run_id earlier", partition);
    ask(&c, "req_1", 1);
    turn(250);
    ck_assert(!c.is_answered);
    open_partition("5000000000");
    await(&c);
    ck_assert_int_eq(c.answer.verdict, VERDICT_ADMITTED);
    hold_settled(c.hold, 0);
}
END_TEST

START_TEST(without_redis_nobody_is_admitted)
{
    struct call c;

    fixture_kill(&fixture);
    ask(&c, "req_0", 1);
    await(&c);
    ck_assert_int_eq(c.answer.verdict, VERDICT_UNAVAILABLE);
    ck_assert(c.has_failed);
    hold_abandon(c.hold);
    turn(20);
    ck_assert_int_eq(verdict_of("req_1", 1), VERDICT_UNAVAILABLE);
    fixture_restart(&fixture);
    ck_assert(loop_run_until(loop, &is_ready, WAIT_MS));
    open_partition("5000000000");
    ck_assert_int_eq(verdict_of("req_2", 1), VERDICT_ADMITTED);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admission");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, two_hundred_calls_at_once_on_credit_for_fifty_admit_fifty);
    tcase_add_test(t, the_answer_says_what_is_left_and_how_many_are_open);
    tcase_add_test(t, each_refusal_has_its_verdict);
    tcase_add_test(t, a_call_counts_on_the_day_of_its_accounts_zone_whatever_was_thought);
    tcase_add_test(t, a_hold_keeps_its_day_when_the_zone_changes_under_it);
    tcase_add_test(t, a_zone_that_this_machine_does_not_know_admits_nobody);
    tcase_add_test(t, a_call_waits_while_the_partition_recovers);
    tcase_add_test(t, without_redis_nobody_is_admitted);
    return run_tests(t, "admission");
}
