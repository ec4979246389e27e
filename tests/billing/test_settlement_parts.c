/* The small parts under settlement: sums by name, the order of events, twins, books of many names. */
#include <stdio.h>

#include "billing/call_index.h"
#include "billing/event_spool.h"
#include "billing/ledger_sums.h"
#include "billing/sorted_runs.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define NAMES  5000
#define EVENTS 3000

START_TEST(sums_are_found_by_name_however_many_there_are)
{
    AUTO(sum_table) t = sum_table_new();
    char name[32];

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "n%d", i);
            sum_table_row(t, span_of(name))->nanos += i;
        }
    ck_assert_uint_eq(sum_table_count(t), NAMES);
    sum_table_sort(t);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "n%d", i);
        ck_assert_int_eq((int)sum_table_find(t, span_of(name))->nanos, 2 * i);
        if (i > 0)
            ck_assert_int_lt(
                strcmp(sum_table_at(t, (size_t)i - 1)->name, sum_table_at(t, (size_t)i)->name), 0);
    }
    ck_assert_ptr_null(sum_table_find(t, SPAN("n")));
    sum_table_row(t, SPAN("n"))->calls = 3;
    ck_assert_int_eq(sum_table_find(t, SPAN("n"))->calls, 3);
    ck_assert_uint_eq(sum_table_count(t), NAMES + 1);
}
END_TEST

START_TEST(events_leave_the_spool_in_order_and_as_often_as_asked)
{
    struct err err = {0};
    AUTO(event_spool) s = event_spool_new("/tmp", &err);
    AUTO_CLEAR(buf) padding = {.max = RECORD_BYTES_MAX};

    ck_assert_msg(s != NULL, "%s", err.text);
    for (int i = 0; i < 4000; i++)
        buf_add_char(&padding, 'x');
    for (int i = 0; i < EVENTS; i++) {
        struct event e = {.ended_at = (int64_t)rand_below(50)};
        AUTO_STRING line = NULL;

        request_id_make(e.request_id);
        line = xasprintf("%lld %s %.*s", (long long)e.ended_at, e.request_id,
                         (int)rand_below(padding.len), padding.data);
        ck_assert(event_spool_add(s, &e, span_of(line), &err));
    }
    for (int round = 0; round < 2; round++) {
        char last[REQUEST_ID_TEXT] = "";
        long long last_at = -1;
        struct span line;
        int count = 0;

        ck_assert(event_spool_start(s, &err));
        while (event_spool_next(s, &line, &err) == 1) {
            char id[REQUEST_ID_TEXT];
            long long at;

            ck_assert_int_eq(sscanf(line.data, "%lld %39s", &at, id), 2);
            ck_assert_int_lt(event_order(last_at, last, at, id), 0);
            last_at = at;
            memcpy(last, id, sizeof last);
            count++;
        }
        ck_assert_int_eq(count, EVENTS);
    }
    ck_assert_ptr_null(event_spool_new("/nonexistent", &err));
}
END_TEST

/* 2000 calls, and the 77th once more when asked. */
static void find_twins(bool has_twin, struct reasons *found, char twin[REQUEST_ID_TEXT])
{
    AUTO(call_index) x = call_index_new(NULL);
    struct record_place place = {.partition = {7, 0}};
    struct err err;

    for (uint64_t i = 1; i <= 2000; i++) {
        char id[REQUEST_ID_TEXT];

        request_id_make(id);
        place.n[SIDE_ACCOUNT] = i;
        ck_assert(call_index_add(x, span_of(id), i % 2 ? "w-a" : "w-b", &place, &err));
        if (i == 77)
            memcpy(twin, id, REQUEST_ID_TEXT);
    }
    place.n[SIDE_ACCOUNT] = 2001;
    if (has_twin)
        ck_assert(call_index_add(x, span_of(twin), "w-c", &place, &err));
    ck_assert(call_index_find_twins(x, found, &err));
}

START_TEST(all_twins_are_found_and_nothing_else)
{
    AUTO_CLEAR(reasons) none = {0};
    AUTO_CLEAR(reasons) some = {0};
    char twin[REQUEST_ID_TEXT] = "";

    find_twins(false, &none, twin);
    ck_assert_uint_eq(none.count, 0);
    find_twins(true, &some, twin);
    ck_assert_uint_eq(some.count, 1);
    AUTO_STRING sentence =
        xasprintf("request %s is charged twice: as record 77 of partition a07 of "
                  "writer w-a and as record 2001 of partition a07 of writer w-c",
                  twin);
    ck_assert_str_eq(some.sentence[0], sentence);
}
END_TEST

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Runs of 256 to 16 384 numbers: from one that never leaves memory to many that take several windows each. */
START_TEST(any_number_of_items_leaves_in_order)
{
    const struct sorted_runs_config config = {
        .item_size = sizeof(uint64_t), .compare = compare_numbers, .run_bytes = 1024 << _i};
    const uint64_t counts[] = {0, 1, 255, 256, 257, 1000, 70000};
    struct err err;

    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        AUTO(sorted_runs) s = sorted_runs_new(&config);

        /* A step that shares no factor with the count visits every number once. */
        for (uint64_t i = 0; i < counts[c]; i++) {
            uint64_t item = i * 7919 % counts[c];
            ck_assert(sorted_runs_add(s, &item, &err));
        }
        for (int round = 0; round < 2; round++) {
            const void *item;
            uint64_t expected = 0;
            int got;

            ck_assert(sorted_runs_start(s, &err));
            while ((got = sorted_runs_next(s, &item, &err)) == 1)
                ck_assert_uint_eq(*(const uint64_t *)item, expected++);
            ck_assert_int_eq(got, 0);
            ck_assert_uint_eq(expected, counts[c]);
        }
    }
}
END_TEST

START_TEST(a_scratch_file_that_cannot_be_made_is_an_error)
{
    const struct sorted_runs_config config = {.item_size = sizeof(uint64_t),
                                              .compare = compare_numbers,
                                              .run_bytes = 2048,
                                              .dir = "/nonexistent"};
    AUTO(sorted_runs) s = sorted_runs_new(&config);
    struct err err = {0};
    uint64_t added = 0;

    while (added < 1000 && sorted_runs_add(s, &added, &err))
        added++;
    ck_assert_uint_lt(added, 1000);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent"));
}
END_TEST

START_TEST(reasons_beyond_the_kept_are_counted)
{
    AUTO_CLEAR(reasons) r = {0};
    struct err err;

    ck_assert(reasons_none(&r, &err));
    reasons_add(&r, "the %s", "first");
    ck_assert(!reasons_none(&r, &err));
    ck_assert_str_eq(err.text, "the first");
    for (int i = 0; i < 2 * REASONS_MAX; i++)
        reasons_add(&r, "more");
    ck_assert(!reasons_none(&r, &err));
    ck_assert_str_eq(err.text, "the first (and 200 more)");
    ck_assert_uint_eq(r.kept, REASONS_MAX);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settlement parts");

    tcase_add_test(tcase, sums_are_found_by_name_however_many_there_are);
    tcase_add_test(tcase, events_leave_the_spool_in_order_and_as_often_as_asked);
    tcase_add_test(tcase, all_twins_are_found_and_nothing_else);
    tcase_add_loop_test(tcase, any_number_of_items_leaves_in_order, 1, 8);
    tcase_add_test(tcase, a_scratch_file_that_cannot_be_made_is_an_error);
    tcase_add_test(tcase, reasons_beyond_the_kept_are_counted);
    return run_tests(tcase, "settlement parts");
}
