/* The board: each process counts in a seat of its own, and sums never fall, whoever dies. */
#include "gateway/board.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/metrics_text.h"
#include "tests/base/run.h"

static uint64_t count_of(const struct board *b)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < board_seats(b); i++)
        sum += metric_get(&board_seat(b, i)->reloads);
    return sum;
}

static void count_in_a_child(struct board *b)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct seat *seat = board_sit(b);

        metric_add(&seat->reloads, 1);
        metric_set(&seat->open_calls, 7);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_seat_goes_on_from_what_a_dead_process_left)
{
    struct board *b = board_new(3, NULL);
    const struct seat *mine = board_sit(b);

    for (int i = 0; i < 10; i++)
        count_in_a_child(b);
    ck_assert_uint_eq(count_of(b), 10);
    ck_assert_ptr_eq(board_seat(b, 0), mine);
    ck_assert_uint_eq(metric_get(&board_seat(b, 1)->reloads), 10);
    ck_assert(!seat_is_live(board_seat(b, 1)));
    ck_assert_uint_eq(metric_get(&board_sit(b)->open_calls), 0); /* true of the living only */
    board_free(b);
}
END_TEST

START_TEST(models_beyond_the_rows_are_counted_together)
{
    struct board *b = board_new(1, NULL);
    struct seat *seat = board_sit(b);
    char name[MODEL_TEXT];

    for (int i = 0; i < BOARD_MODELS; i++) {
        snprintf(name, sizeof name, "demo/m%d", i);
        ck_assert_ptr_eq(board_model(seat, name, "CNY"), &seat->models[i]);
        ck_assert_ptr_eq(board_model(seat, name, "CNY"), &seat->models[i]);
    }
    ck_assert_ptr_eq(board_model(seat, "demo/more", "CNY"), &seat->others);
    ck_assert_ptr_eq(board_model(seat, "demo/m0", "EUR"), &seat->others);
    board_free(b);
}
END_TEST

START_TEST(a_time_falls_under_the_first_bound_that_is_not_below_it)
{
    struct histogram h = {0};

    histogram_add(&h, 0);
    histogram_add(&h, 250000);
    histogram_add(&h, 250001);
    histogram_add(&h, histogram_bound(HISTOGRAM_BOUNDS - 1) + 1);
    ck_assert_uint_eq(metric_get(&h.bucket[0]), 2);
    ck_assert_uint_eq(metric_get(&h.bucket[1]), 1);
    ck_assert_uint_eq(metric_get(&h.bucket[HISTOGRAM_BOUNDS]), 1);
    ck_assert_uint_eq(metric_get(&h.sum_nanos),
                      500001 + (uint64_t)histogram_bound(HISTOGRAM_BOUNDS - 1) + 1);
}
END_TEST

START_TEST(models_of_all_seats_are_added_up_to_the_nano)
{
    struct board *b = board_new(2, NULL);
    struct console_numbers none = {.has_redis = true};
    AUTO_CLEAR(buf) text = {.max = 1 << 20};
    struct seat *seat = board_sit(b);

    metric_add(&board_model(seat, "demo/echo", "CNY")->amount_nanos, 1999999999);
    metric_add(&board_model(seat + 1, "demo/echo", "CNY")->amount_nanos, 2);
    metrics_write(b, &none, &text);
    buf_add_char(&text, '\0');
    ck_assert_ptr_nonnull(strstr(text.data,
                                 "\ntollgate_amount_total{gen_ai_request_model=\"demo/echo\","
                                 "currency=\"CNY\"} 2.000000001\n"));
    ck_assert_ptr_nonnull(strstr(text.data, "\ntollgate_redis_up 1\n"));
    board_free(b);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, a_seat_goes_on_from_what_a_dead_process_left);
    tcase_add_test(tcase, models_beyond_the_rows_are_counted_together);
    tcase_add_test(tcase, a_time_falls_under_the_first_bound_that_is_not_below_it);
    tcase_add_test(tcase, models_of_all_seats_are_added_up_to_the_nano);
    return run_tests(tcase, "board");
}
