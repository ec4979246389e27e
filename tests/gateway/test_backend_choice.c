/* Choice of backends: what may be asked at all, then by priority, then by weight, and each at most once a call. */
#include <check.h>
#include <stdlib.h>

#include "gateway/backend_choice.h"
#include "tests/base/run.h"

#define DRAWS 20000
#define ALL   UINT64_C(15)
#define NOW   5000

static const struct model model = {
    .backend_count = 4,
    .backends = {{.name = "spare", .weight = 5, .priority = 7},
                 {.name = "big", .weight = 3},
                 {.name = "small", .weight = 1},
                 {.name = "last", .weight = 1, .priority = 9}},
};

static const struct model_backend *take(uint64_t *left)
{
    const struct model_backend *chosen = backend_choose(&model, *left);

    *left &= ~(UINT64_C(1) << (chosen - model.backends));
    return chosen;
}

START_TEST(lower_priority_numbers_come_first_and_each_backend_once)
{
    for (int round = 0; round < 100; round++) {
        uint64_t left = ALL;
        const struct model_backend *first = take(&left), *second = take(&left);

        ck_assert(first != second);
        ck_assert_int_eq(first->priority, 0);
        ck_assert_int_eq(second->priority, 0);
        ck_assert_str_eq(take(&left)->name, "spare");
        ck_assert_str_eq(take(&left)->name, "last");
        ck_assert_ptr_null(backend_choose(&model, left));
    }
}
END_TEST

/* 3 of 4 draws: 15000 of 20000, with a standard deviation of 61; ten of them are never seen. */
START_TEST(equals_are_drawn_by_weight)
{
    int big = 0;

    for (int i = 0; i < DRAWS; i++)
        big += backend_choose(&model, ALL) == &model.backends[1];
    ck_assert_int_gt(big, 15000 - 610);
    ck_assert_int_lt(big, 15000 + 610);
}
END_TEST

/* "small" is not in the config. */
static struct served_backend served[] = {{.name = "last"}, {.name = "big"}, {.name = "spare"}};
static const struct server server = {.backends = served, .backend_count = ARRAY_LEN(served)};

static void keep_open(size_t i, int64_t until)
{
    breaker_init(&served[i].breaker, served[i].name, 1, 1000);
    served[i].breaker.state = until ? BREAKER_OPEN : BREAKER_CLOSED;
    served[i].breaker.open_until_ms = until;
}

START_TEST(what_is_not_configured_was_tried_or_is_left_alone_is_not_chosen)
{
    int64_t wait;

    for (size_t i = 0; i < ARRAY_LEN(served); i++)
        keep_open(i, 0);
    ck_assert_uint_eq(backends_open(&server, &model, 0, NOW, &wait), 1 + 2 + 8);
    ck_assert_uint_eq(backends_open(&server, &model, 1, NOW, &wait), 2 + 8);
    keep_open(1, NOW + 700);
    ck_assert_uint_eq(backends_open(&server, &model, 1, NOW, &wait), 8);
    ck_assert_int_eq(wait, 0);
}
END_TEST

START_TEST(when_all_are_left_alone_the_first_to_come_back_is_told)
{
    int64_t wait;

    keep_open(0, NOW + 900);
    keep_open(1, NOW + 300);
    keep_open(2, NOW + 600);
    ck_assert_uint_eq(backends_open(&server, &model, 0, NOW, &wait), 0);
    ck_assert_int_eq(wait, 300);
    ck_assert_uint_eq(backends_open(&server, &model, 2, NOW, &wait), 0);
    ck_assert_int_eq(wait, 600);
    ck_assert_uint_eq(backends_open(&server, &model, ALL, NOW, &wait), 0);
    ck_assert_int_eq(wait, 0);
    ck_assert_uint_eq(backends_open(&server, &model, 0, NOW + 300, &wait), 2);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("choices");

    tcase_add_test(t, lower_priority_numbers_come_first_and_each_backend_once);
    tcase_add_test(t, equals_are_drawn_by_weight);
    tcase_add_test(t, what_is_not_configured_was_tried_or_is_left_alone_is_not_chosen);
    tcase_add_test(t, when_all_are_left_alone_the_first_to_come_back_is_told);
    return run_tests(t, "backend_choice");
}
