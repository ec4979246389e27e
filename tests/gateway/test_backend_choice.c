/* Choice of backends: by priority first, then by weight, and each at most once a call. */
#include <check.h>
#include <stdlib.h>

#include "gateway/backend_choice.h"

#define DRAWS 20000

static const struct model model = {
    .backend_count = 4,
    .backends = {{.name = "spare", .weight = 5, .priority = 7},
                 {.name = "big", .weight = 3},
                 {.name = "small", .weight = 1},
                 {.name = "last", .weight = 1, .priority = 9}},
};

START_TEST(lower_priority_numbers_come_first_and_each_backend_once)
{
    for (int round = 0; round < 100; round++) {
        uint64_t tried = 0;
        const struct model_backend *first = backend_choose(&model, &tried);
        const struct model_backend *second = backend_choose(&model, &tried);

        ck_assert(first != second);
        ck_assert_int_eq(first->priority, 0);
        ck_assert_int_eq(second->priority, 0);
        ck_assert_str_eq(backend_choose(&model, &tried)->name, "spare");
        ck_assert_str_eq(backend_choose(&model, &tried)->name, "last");
        ck_assert_ptr_null(backend_choose(&model, &tried));
    }
}
END_TEST

/* 3 of 4 draws: 15000 of 20000, with a standard deviation of 61; ten of them are never seen. */
START_TEST(equals_are_drawn_by_weight)
{
    int big = 0;

    for (int i = 0; i < DRAWS; i++) {
        uint64_t tried = 0;

        big += backend_choose(&model, &tried) == &model.backends[1];
    }
    ck_assert_int_gt(big, 15000 - 610);
    ck_assert_int_lt(big, 15000 + 610);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backend_choice");
    TCase *t = tcase_create("choices");
    SRunner *r;
    int failed;

    tcase_add_test(t, lower_priority_numbers_come_first_and_each_backend_once);
    tcase_add_test(t, equals_are_drawn_by_weight);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
