/* run.h - what a test program of one case ends with. */
#ifndef TOLLGATE_TESTS_BILLING_RUN_H
#define TOLLGATE_TESTS_BILLING_RUN_H

#include <check.h>
#include <stdlib.h>

#include "lib/base/attr.h"

/* Runs the case and gives main()'s result. */
static inline UNUSED int run_tests(TCase *tcase, const char *name)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
