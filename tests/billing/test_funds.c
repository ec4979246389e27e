/* test_funds.c - which records of money that no call moves count, whatever order they stand in. */
#include "billing/funds_set.h"

#include <stdio.h>

#include "lib/base/json.h"
#include "lib/base/text.h"
#include "tests/base/run.h"

static struct funds_set set;
static struct sum_table *sums;
static const struct period november = {"2026-11"}, december = {"2026-12"};

static void start(void)
{
    set = (struct funds_set){0};
    sums = sum_table_new();
}

static void stop(void)
{
    funds_set_clear(&set);
    sum_table_free(sums);
}

static void add(struct funds f, const char *writer, uint64_t n)
{
    struct record_head head = {.kind = f.kind, .place.n[SIDE_ACCOUNT] = n};

    snprintf(f.account, sizeof f.account, "acme");
    snprintf(f.op, sizeof f.op, "op-1");
    snprintf(f.amount.currency, sizeof f.amount.currency, "CNY");
    snprintf(head.writer, sizeof head.writer, "w-%s", writer);
    if (!f.period.text[0])
        f.period = november;
    funds_set_add(&set, &f, &head);
}

/* `count` 0: nothing of that name moved. */
static void expect(const char *kind, int64_t nanos, int64_t count)
{
    char name[64];
    const struct sum *found;

    snprintf(name, sizeof name, "%s acme CNY", kind);
    found = sum_table_find(sums, span_of(name));
    ck_assert_int_eq(found ? (int64_t)found->nanos : 0, nanos);
    ck_assert_int_eq(found ? found->calls : 0, count);
}

START_TEST(of_an_operation_the_earliest_record_counts_whatever_its_kind)
{
    add((struct funds){.kind = RECORD_CREDIT, .amount.nanos = 7, .at = 3}, "b", 1);
    add((struct funds){.kind = RECORD_ADJUST, .amount.nanos = -5, .at = 2}, "c", 9);
    add((struct funds){.kind = RECORD_CREDIT, .amount.nanos = 9, .at = 2}, "d", 1);
    funds_set_sum(&set, november, sums);
    expect("adjust", -5, 1);
    expect("credit", 0, 0);
}
END_TEST

START_TEST(steps_of_a_grant_count_where_the_one_before_ended)
{
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 30, .taken = 40, .at = 8}, "a", 4);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 40, .left = 20, .at = 7}, "b", 1);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 50, .left = 10, .at = 9}, "c", 1);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 10, .taken = 50, .at = 9}, "c", 2);
    add((struct funds){.kind = RECORD_GRANT, .amount.nanos = 100, .at = 1}, "a", 1);
    funds_set_sum(&set, november, sums);
    expect("grant", 100, 1);
    expect("expiry", -70, 2);
}
END_TEST

START_TEST(no_more_is_taken_back_than_was_given)
{
    add((struct funds){.kind = RECORD_GRANT, .amount.nanos = 100, .at = 1}, "a", 1);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 90, .left = 5, .at = 5}, "a", 2);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 60, .taken = 90, .left = 5, .at = 6},
        "a", 3);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 1, .taken = 100, .at = 7}, "a", 4);
    funds_set_sum(&set, november, sums);
    expect("expiry", -100, 2);
}
END_TEST

START_TEST(steps_without_their_grant_take_nothing)
{
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 40, .at = 7}, "b", 1);
    add((struct funds){.kind = RECORD_CREDIT, .amount.nanos = 9, .at = 2}, "d", 1);
    funds_set_sum(&set, november, sums);
    expect("credit", 9, 1);
    expect("expiry", 0, 0);
}
END_TEST

START_TEST(each_stands_in_the_month_in_which_it_was_booked)
{
    add((struct funds){.kind = RECORD_GRANT, .amount.nanos = 100, .at = 1}, "a", 1);
    add((struct funds){.kind = RECORD_EXPIRY, .amount.nanos = 40, .left = 2, .at = 5}, "a", 2);
    add(
        (struct funds){
            .kind = RECORD_EXPIRY, .amount.nanos = 2, .taken = 40, .at = 6, .period = {"2026-12"}},
        "a", 3);
    funds_set_sum(&set, december, sums);
    expect("grant", 0, 0);
    expect("expiry", -2, 1);
}
END_TEST

static void expect_parsed(const struct funds *f)
{
    AUTO_CLEAR(buf) text = {.max = FUNDS_BYTES_MAX};
    AUTO_CLEAR(buf) again = {.max = FUNDS_BYTES_MAX};
    struct funds read;
    struct err err;
    struct jw w;

    jw_init(&w, &text);
    funds_write(f, &w);
    AUTO_JSON object = json_parse(buf_span(&text), &err);
    ck_assert_msg(object && funds_parse(f->kind, object, &read, &err), "%s", err.text);
    jw_init(&w, &again);
    funds_write(&read, &w);
    ck_assert(span_equal(buf_span(&text), buf_span(&again)));
}

START_TEST(what_is_written_is_read_and_written_the_same)
{
    struct funds f = {.kind = RECORD_CREDIT,
                      .account = "acme",
                      .op = "op-1",
                      .amount = {-5, "CNY"},
                      .reason = "booked twice",
                      .period = november,
                      .at = INT64_C(1793500000000000000)};

    expect_parsed(&f);
    f.kind = RECORD_GRANT;
    f.amount.nanos = 5;
    f.expires_at = f.at + 1000000;
    f.spent = INT64_C(90000000000000001);
    expect_parsed(&f);
    f.kind = RECORD_EXPIRY;
    f.amount.nanos = 0;
    f.taken = 5;
    expect_parsed(&f);
}
END_TEST

START_TEST(a_grant_of_nothing_or_less_is_none)
{
    static const char *const amounts[] = {"0", "-1", "9000001"};
    struct funds read;

    for (size_t i = 0; i < ARRAY_LEN(amounts); i++) {
        AUTO_JSON object = json_pack(
            "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "account", "acme", "op", "op-1", "currency",
            "CNY", "reason", "x", "period", "2026-11", "at", "2026-11-22T01:02:03.004Z",
            "expires_at", "2026-12-22T01:02:03.004Z", "spent", "0", "amount", amounts[i]);
        ck_assert(!funds_parse(RECORD_GRANT, object, &read, NULL));
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("funds");

    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, of_an_operation_the_earliest_record_counts_whatever_its_kind);
    tcase_add_test(t, steps_of_a_grant_count_where_the_one_before_ended);
    tcase_add_test(t, no_more_is_taken_back_than_was_given);
    tcase_add_test(t, steps_without_their_grant_take_nothing);
    tcase_add_test(t, each_stands_in_the_month_in_which_it_was_booked);
    tcase_add_test(t, what_is_written_is_read_and_written_the_same);
    tcase_add_test(t, a_grant_of_nothing_or_less_is_none);
    return run_tests(t, "funds");
}
