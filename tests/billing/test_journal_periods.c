/* test_journal_periods.c - a period ends: its seal counts what was written in it, and what comes later is booked in the
 * next. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "billing/refund.h"
#include "billing/seal.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/journal_fixture.h"

#define NOVEMBER INT64_C(1793462400000000000) /* 2026-10-31T16:00:00Z: midnight in Shanghai */

static struct journal_fixture f;

static void set_up(void)
{
    fixture_open(&f);
}

static void tear_down(void)
{
    fixture_clear(&f);
}

static struct seal seal_in(const struct fixture_lines *lines, size_t at)
{
    struct seal seal;
    struct err err;

    ck_assert_msg(seal_parse(span_of(lines->line[at]), &seal, &err), "%s: %s", err.text,
                  lines->line[at]);
    return seal;
}

START_TEST(a_periods_end_writes_its_seal_before_the_first_record_of_the_next)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct seal seal;
    size_t durable = 0;

    fixture_set_clock(NOVEMBER - 10 * NANOS_PER_SECOND);
    for (unsigned i = 0; i < 5; i++)
        fixture_call(j, i, fixture_count, &durable);
    fixture_set_clock(NOVEMBER);
    for (unsigned i = 5; i < 8; i++)
        fixture_call(j, i, fixture_count, &durable);
    journal_completed(j);
    ck_assert_uint_eq(durable, 8);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 9);
    seal = seal_in(&lines, 5);
    ck_assert_str_eq(seal.writer, journal_writer(j));
    ck_assert_str_eq(seal.totals.period.text, "2026-10");
    ck_assert_uint_eq(seal.totals.records, 5);
    ck_assert_uint_eq(seal.totals.events, 5);
    ck_assert_uint_eq(seal.totals.currency_count, 1);
    ck_assert_str_eq(seal.totals.sum[0].currency, "CNY");
    ck_assert(seal.totals.sum[0].nanos == 5010);
    ck_assert(strstr(lines.line[4], "\"period\":\"2026-10\""));
    ck_assert(strstr(lines.line[6], "\"period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

static struct refund refund_of(const struct event *e, const char *op, int64_t nanos)
{
    struct refund r;

    refund_of_event(e, &r);
    snprintf(r.op, sizeof r.op, "%s", op);
    snprintf(r.reason, sizeof r.reason, "it was slow");
    r.amount.nanos = nanos;
    return r;
}

START_TEST(a_refund_is_on_both_sides_in_the_period_in_which_it_is_booked)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct event e = fixture_event(j, 3);
    struct refund r = refund_of(&e, "op-1", 2);
    struct fixture_lines lines;
    struct seal seal;
    struct err err;
    size_t durable = 0;

    fixture_set_clock(NOVEMBER - NANOS_PER_SECOND);
    fixture_call(j, 3, fixture_count, &durable);
    ck_assert_msg(journal_refund(j, &r, fixture_count, &durable, &err), "%s", err.text);
    ck_assert_str_eq(r.period.text, "2026-10");
    fixture_set_clock(NOVEMBER);
    snprintf(r.op, sizeof r.op, "op-2");
    ck_assert_msg(journal_refund(j, &r, fixture_count, &durable, &err), "%s", err.text);
    journal_completed(j);
    ck_assert_uint_eq(durable, 3);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 4);
    ck_assert_uint_eq(fixture_of_kind(&lines, "refund"), 2);
    seal = seal_in(&lines, 2);
    ck_assert_uint_eq(seal.totals.records, 2);
    ck_assert_uint_eq(seal.totals.events, 1);
    ck_assert_uint_eq(seal.totals.refunds, 1);
    ck_assert(seal.totals.sum[0].nanos == e.amount.nanos && seal.totals.sum[0].refunded == 2);
    ck_assert(strstr(lines.line[3], "\"orig_period\":\"2026-10\",\"period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(a_refund_of_a_call_whose_period_has_not_begun_here_is_refused)
{
    struct journal *j = fixture_without_thread(&f);
    struct event e = fixture_event(j, 3);
    struct refund r;
    struct err err;

    e.period = period_next(e.period);
    r = refund_of(&e, "op-1", 2);
    ck_assert(!journal_refund(j, &r, NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    journal_free(j);
}
END_TEST

START_TEST(an_event_of_a_period_sealed_meanwhile_ends_in_the_next)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct event e;

    fixture_set_clock(NOVEMBER - NANOS_PER_SECOND);
    e = fixture_event(j, 7);
    ck_assert(journal_reserve(j, NULL));
    journal_begin(j, &e, NULL, NULL);
    fixture_set_clock(NOVEMBER + NANOS_PER_SECOND);
    journal_tick(j);
    journal_call(j, &e, NULL, NULL);
    journal_completed(j);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 2);
    ck_assert_uint_eq(seal_in(&lines, 0).totals.records, 0);
    ck_assert(strstr(lines.line[1], "\"ended_at\":\"2026-10-31T16:00:01"));
    ck_assert(strstr(lines.line[1], "\"period\":\"2026-11\",\"orig_period\":\"2026-11\""));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

START_TEST(periods_nobody_was_there_for_are_sealed_at_take_up)
{
    struct journal *j = fixture_without_thread(&f);
    AUTO_STRING dir = fixture_dir(&f, 1);
    struct fixture_lines lines;
    struct seal october, november;

    fixture_call(j, 1, NULL, NULL);
    journal_free(j);
    fixture_set_clock(NOVEMBER + 40 * 86400 * NANOS_PER_SECOND);
    j = fixture_without_thread(&f);
    fixture_read(dir, &lines);
    ck_assert_uint_eq(lines.count, 3);
    ck_assert_str_eq(seal_in(&lines, 1).totals.period.text, "2026-10");
    ck_assert_uint_eq(seal_in(&lines, 1).totals.records, 1);
    ck_assert_str_eq(seal_in(&lines, 2).totals.period.text, "2026-11");
    ck_assert_uint_eq(seal_in(&lines, 2).totals.records, 0);
    october = seal_in(&lines, 1);
    november = seal_in(&lines, 2);
    ck_assert(record_heads_equal(&october.heads, &november.heads));
    fixture_lines_clear(&lines);
    journal_free(j);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("journal_periods");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_periods_end_writes_its_seal_before_the_first_record_of_the_next);
    tcase_add_test(t, a_refund_is_on_both_sides_in_the_period_in_which_it_is_booked);
    tcase_add_test(t, a_refund_of_a_call_whose_period_has_not_begun_here_is_refused);
    tcase_add_test(t, an_event_of_a_period_sealed_meanwhile_ends_in_the_next);
    tcase_add_test(t, periods_nobody_was_there_for_are_sealed_at_take_up);
    return run_tests(t, "journal_periods");
}
