/* The meter: whole answers cost what the provider counted, cut ones what was handed over, and never more. */
#include <check.h>
#include <stdlib.h>

#include "gateway/meter.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS 2000

static struct price price;

static void make_price(void)
{
    struct err err;
    AUTO_JSON json = json_parse(
        SPAN("{\"id\":\"p\",\"from\":\"2026-11-01T00:00:00Z\",\"currency\":\"CNY\",\"units\":"
             "{\"input_tokens\":\"2.00\",\"cached_input_tokens\":\"0.5\",\"output_tokens\":\"8."
             "00\"}}"),
        &err);

    ck_assert_msg(json && price_parse(json, "CNY", &price, &err), "%s", err.text);
}

static struct event new_event(void)
{
    return (struct event){.amount = {.currency = "CNY"}};
}

static int64_t used(const struct event *e, const char *unit)
{
    const int64_t *n = used_get(&e->used, unit);

    return n ? *n : -1;
}

START_TEST(a_whole_answer_costs_what_the_provider_counted)
{
    struct event e = new_event();
    struct usage u = {0};
    struct err err;

    usage_set(&u, USAGE_INPUT, 100, USAGE_UPSTREAM);
    usage_set(&u, USAGE_CACHED_INPUT, 40, USAGE_UPSTREAM);
    usage_set(&u, USAGE_OUTPUT, 7, USAGE_UPSTREAM);
    usage_set(&u, USAGE_REASONING, 3, USAGE_UPSTREAM);
    ck_assert(meter_whole(&e, &price, &u, &err));
    /* per million: 2, 0.5, 8, and reasoning as its parent, output */
    ck_assert_int_eq(e.amount.nanos, 100 * 2000 + 40 * 500 + 7 * 8000 + 3 * 8000);
    ck_assert_int_eq(used(&e, "cached_input_tokens"), 40);
    ck_assert_int_eq(used(&e, "reasoning_tokens"), 3);
}
END_TEST

START_TEST(zero_is_a_value_and_missing_is_not_listed)
{
    struct event e = new_event();
    struct usage u = {0};
    struct err err;

    usage_set(&u, USAGE_OUTPUT, 0, USAGE_UPSTREAM);
    ck_assert(meter_whole(&e, &price, &u, &err));
    ck_assert_int_eq(used(&e, "output_tokens"), 0);
    ck_assert_int_eq(used(&e, "input_tokens"), -1);
    ck_assert_int_eq(e.amount.nanos, 0);
}
END_TEST

START_TEST(a_cut_stream_owes_its_input_and_what_was_handed_over)
{
    struct event e = new_event();
    struct usage u = {0};
    struct err err;

    usage_set(&u, USAGE_OUTPUT, 500, USAGE_UPSTREAM); /* produced, but never handed over */
    ck_assert(meter_cut(&e, &price, &u, 401, 9, &err));
    ck_assert_int_eq(used(&e, "input_tokens"), 100);
    ck_assert_int_eq(e.used.item[0].provenance, ESTIMATED);
    ck_assert_int_eq(used(&e, "output_tokens"), 9);
    ck_assert_int_eq(e.used.item[1].provenance, COUNTED);
    ck_assert_int_eq(e.amount.nanos, 100 * 2000 + 9 * 8000);
}
END_TEST

START_TEST(a_cut_stream_takes_the_providers_input_where_it_was_stated)
{
    struct event e = new_event();
    struct usage u = {0};
    struct err err;

    usage_set(&u, USAGE_INPUT, 12, USAGE_UPSTREAM);
    usage_set(&u, USAGE_CACHED_INPUT, 30, USAGE_UPSTREAM);
    ck_assert(meter_cut(&e, &price, &u, 4000, 0, &err));
    ck_assert_int_eq(used(&e, "input_tokens"), 12);
    ck_assert_int_eq(used(&e, "cached_input_tokens"), 30);
    ck_assert_int_eq(used(&e, "output_tokens"), 0);
}
END_TEST

START_TEST(metering_twice_is_metering_once)
{
    struct event e = new_event(), again;
    struct usage u = {0};
    struct err err;

    ck_assert(meter_cut(&e, &price, &u, 400, 5, &err));
    again = e;
    ck_assert(meter_cut(&again, &price, &u, 400, 5, &err));
    ck_assert_uint_eq(again.used.count, e.used.count);
    ck_assert_int_eq(again.amount.nanos, e.amount.nanos);
}
END_TEST

START_TEST(no_call_within_its_bounds_costs_more_than_its_hold)
{
    for (int round = 0; round < ROUNDS; round++) {
        int64_t body = (int64_t)rand_below(100000), cap = 1 + (int64_t)rand_below(5000),
                n = 1 + (int64_t)rand_below(4), hold;
        struct event e = new_event();
        struct usage u = {0};
        struct err err;
        int64_t input = (int64_t)rand_below((uint64_t)body + 1),
                cached = (int64_t)rand_below((uint64_t)input + 1);

        usage_set(&u, USAGE_INPUT, input - cached, USAGE_UPSTREAM);
        usage_set(&u, USAGE_CACHED_INPUT, cached, USAGE_UPSTREAM);
        usage_set(&u, USAGE_OUTPUT, (int64_t)rand_below((uint64_t)(cap * n) + 1), USAGE_UPSTREAM);
        ck_assert(meter_worst_case(&price, body, cap, n, &hold, &err));
        ck_assert(meter_whole(&e, &price, &u, &err));
        ck_assert_int_le(e.amount.nanos, hold);
    }
}
END_TEST

/* The independent count: a chunk was handed over iff its last byte was. */
START_TEST(marks_never_count_more_than_was_taken)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct meter_marks marks = {0};
        uint64_t ends[400], taken = 0, offset = 0;
        size_t chunks = rand_below(ARRAY_LEN(ends));
        int64_t before = 0;

        for (size_t i = 0; i < chunks; i++) {
            int64_t exact = 0, counted;

            offset += 1 + rand_below(50);
            ends[i] = offset;
            meter_mark(&marks, offset, (int64_t)i + 1);
            if (rand_below(3) == 0)
                taken += rand_below(offset - taken + 1);
            while ((size_t)exact <= i && ends[exact] <= taken)
                exact++;
            counted = meter_handed(&marks, taken);
            ck_assert_int_le(counted, exact);
            ck_assert_int_ge(counted, before);
            before = counted;
        }
        ck_assert_int_eq(meter_handed(&marks, offset), chunks ? (int64_t)chunks : 0);
    }
}
END_TEST

START_TEST(marks_are_exact_while_few_are_waiting)
{
    struct meter_marks marks = {0};

    for (int64_t i = 1; i <= 10 * METER_MARKS; i++) {
        meter_mark(&marks, (uint64_t)i * 10, i);
        ck_assert_int_eq(meter_handed(&marks, (uint64_t)i * 10 - 1), i - 1);
        ck_assert_int_eq(meter_handed(&marks, (uint64_t)i * 10), i);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("meter");

    tcase_add_checked_fixture(t, make_price, NULL);
    tcase_add_test(t, a_whole_answer_costs_what_the_provider_counted);
    tcase_add_test(t, zero_is_a_value_and_missing_is_not_listed);
    tcase_add_test(t, a_cut_stream_owes_its_input_and_what_was_handed_over);
    tcase_add_test(t, a_cut_stream_takes_the_providers_input_where_it_was_stated);
    tcase_add_test(t, metering_twice_is_metering_once);
    tcase_add_test(t, no_call_within_its_bounds_costs_more_than_its_hold);
    tcase_add_test(t, marks_never_count_more_than_was_taken);
    tcase_add_test(t, marks_are_exact_while_few_are_waiting);
    return run_tests(t, "meter");
}
