/* run.h - what every test program here ends with, and the folder that a test may fill. */
#ifndef TOLLGATE_TESTS_BASE_RUN_H
#define TOLLGATE_TESTS_BASE_RUN_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/attr.h"

/* A test's time-out ends what hangs and says nothing of speed: several run at a time, on a machine that does much else. Check
 * reads these when cases are made. */
static UNUSED void __attribute__((constructor)) be_patient(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);
    setenv("CK_TIMEOUT_MULTIPLIER", "4", 0);
}

/* Runs the suite and gives main()'s result. */
static inline UNUSED int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The same of a suite of one case. */
static inline UNUSED int run_tests(TCase *tcase, const char *name)
{
    Suite *suite = suite_create(name);

    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}

/* The number that the text is, and nothing else. */
static inline UNUSED int64_t number_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    ck_assert_msg(end != text && *end == '\0', "'%s' is no number", text);
    return number;
}

/* A fixture: the test runs in an empty folder of its own, which is removed after it. */
static inline UNUSED void enter_scratch_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char path[256];

    snprintf(path, sizeof path, "%s/base-test-XXXXXX", parent ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(chdir(path), 0);
}

static inline UNUSED void leave_scratch_folder(void)
{
    char path[256];
    pid_t child;
    int status;

    ck_assert_ptr_nonnull(getcwd(path, sizeof path));
    ck_assert_int_eq(chdir("/"), 0);
    child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

#endif
