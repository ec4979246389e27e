/* test_breaker.c - the breaker on a clock of the test's own. */
#include <check.h>
#include <stdlib.h>

#include "backends/breaker.h"
#include "lib/base/log.h"
#include "tests/base/run.h"

#define FAILURES 3
#define LONGEST  5000

static struct breaker b;
static int64_t now;

static const struct backend_result complete = {.outcome = BACKEND_COMPLETE};
static const struct backend_result broken = {.outcome = BACKEND_BROKEN,
                                             .err = {.text = "it broke"}};
static const struct backend_result late = {.outcome = BACKEND_TIMED_OUT,
                                           .err = {.text = "too late"}};
static const struct backend_result cancelled = {.outcome = BACKEND_CANCELLED};

static struct backend_result refused(unsigned status, int64_t retry_after_ms)
{
    return (struct backend_result){
        .outcome = BACKEND_REFUSED, .status = status, .retry_after_ms = retry_after_ms};
}

static void setup(void)
{
    log_set_level(LOG_ERROR);
    now = 1000000;
    breaker_init(&b, "it", FAILURES, LONGEST);
}

static bool admits(void)
{
    int64_t wait = 0;
    bool yes = breaker_admits(&b, now, &wait);

    ck_assert(yes || wait > 0);
    return yes;
}

static void call(struct backend_result result)
{
    struct breaker_try t;

    ck_assert(admits());
    breaker_begin(&b, &t, now);
    breaker_end(&b, &t, &result, now);
}

static void open_it(void)
{
    for (int i = 0; i < FAILURES; i++)
        call(broken);
    ck_assert(!admits());
}

/* Passes time up to the next trial and tells how much that was. */
static int64_t pass_pause(void)
{
    int64_t wait = 0, begun = now;

    ck_assert(!breaker_admits(&b, now, &wait));
    now += wait - 1;
    ck_assert(!admits());
    now++;
    ck_assert(admits());
    return now - begun;
}

START_TEST(failures_in_a_row_open_it_and_one_good_answer_between_them_does_not)
{
    call(broken);
    call(late);
    call(complete);
    call(refused(500, 0));
    call(refused(401, 0));
    ck_assert(admits());
    call(refused(503, 0));
    ck_assert(!admits());
}
END_TEST

START_TEST(what_callers_cause_never_opens_it)
{
    static const unsigned statuses[] = {400, 403, 404, 409, 413, 422};

    for (size_t i = 0; i < 4 * ARRAY_LEN(statuses); i++)
        call(refused(statuses[i % ARRAY_LEN(statuses)], 0));
    for (int i = 0; i < 4 * FAILURES; i++)
        call(cancelled);
    ck_assert(admits());
}
END_TEST

START_TEST(a_hang_up_neither_counts_nor_makes_good)
{
    call(broken);
    call(cancelled);
    call(broken);
    call(cancelled);
    call(broken);
    ck_assert(!admits());
}
END_TEST

START_TEST(pauses_double_up_to_the_longest_and_a_good_answer_resets_them)
{
    static const int64_t pauses[] = {1000, 2000, 4000, 5000, 5000};

    open_it();
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        ck_assert_int_eq(pass_pause(), pauses[i]);
        call(broken);
    }
    pass_pause();
    call(complete);
    ck_assert(admits());
    open_it();
    ck_assert_int_eq(pass_pause(), 1000);
}
END_TEST

START_TEST(one_call_is_the_trial_and_the_others_wait_for_it)
{
    struct breaker_try trial;

    open_it();
    pass_pause();
    breaker_begin(&b, &trial, now);
    ck_assert(trial.is_trial);
    ck_assert(!admits());
    breaker_answering(&b, &trial);
    ck_assert(admits()); /* though it has not ended */
    breaker_end(&b, &trial, &complete, now);
    ck_assert(admits());
}
END_TEST

START_TEST(a_trial_that_says_nothing_is_followed_by_another_after_the_same_pause)
{
    struct breaker_try first, second;

    open_it();
    pass_pause();
    breaker_begin(&b, &first, now);
    ck_assert_int_eq(pass_pause(), 1000);
    breaker_begin(&b, &second, now);
    ck_assert(second.is_trial);
    ck_assert(!admits());
    breaker_end(&b, &second, &complete, now);
    ck_assert(admits());
    breaker_end(&b, &first, &late, now); /* one failure, of a breaker that is closed */
    ck_assert(admits());
}
END_TEST

START_TEST(a_trial_that_breaks_in_its_answer_opens_it_for_longer)
{
    struct breaker_try trial;

    open_it();
    pass_pause();
    breaker_begin(&b, &trial, now);
    breaker_answering(&b, &trial);
    breaker_end(&b, &trial, &broken, now);
    ck_assert_int_eq(pass_pause(), 2000);
}
END_TEST

START_TEST(a_trial_whose_client_hangs_up_leaves_it_to_the_next_call)
{
    struct breaker_try trial;

    open_it();
    pass_pause();
    breaker_begin(&b, &trial, now);
    breaker_end(&b, &trial, &cancelled, now);
    ck_assert(admits());
    call(broken);
    ck_assert_int_eq(pass_pause(), 2000);
}
END_TEST

START_TEST(calls_from_before_it_opened_are_old_news)
{
    struct breaker_try old[2];
    int64_t wait = 0;

    breaker_begin(&b, &old[0], now);
    breaker_begin(&b, &old[1], now);
    open_it();
    breaker_end(&b, &old[0], &complete, now);
    ck_assert(!admits());
    breaker_end(&b, &old[1], &broken, now);
    ck_assert(!breaker_admits(&b, now, &wait));
    ck_assert_int_eq(wait, 1000);
}
END_TEST

START_TEST(one_retry_after_is_enough_and_is_kept_to)
{
    call(refused(429, 7000));
    ck_assert_int_eq(pass_pause(), 7000);
    call(refused(503, 90));
    ck_assert_int_eq(pass_pause(), 90);
    call(complete);
    call(refused(503, INT64_C(3600000)));
    ck_assert_int_eq(pass_pause(), BREAKER_RETRY_AFTER_MAX_MS);
}
END_TEST

START_TEST(without_a_maximum_it_stays_closed)
{
    breaker_init(&b, "it", 0, LONGEST);
    for (int i = 0; i < 1000; i++)
        call(i % 2 ? broken : refused(503, 60000));
    ck_assert(admits());
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("breaker");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, failures_in_a_row_open_it_and_one_good_answer_between_them_does_not);
    tcase_add_test(t, what_callers_cause_never_opens_it);
    tcase_add_test(t, a_hang_up_neither_counts_nor_makes_good);
    tcase_add_test(t, pauses_double_up_to_the_longest_and_a_good_answer_resets_them);
    tcase_add_test(t, one_call_is_the_trial_and_the_others_wait_for_it);
    tcase_add_test(t, a_trial_that_says_nothing_is_followed_by_another_after_the_same_pause);
    tcase_add_test(t, a_trial_that_breaks_in_its_answer_opens_it_for_longer);
    tcase_add_test(t, a_trial_whose_client_hangs_up_leaves_it_to_the_next_call);
    tcase_add_test(t, calls_from_before_it_opened_are_old_news);
    tcase_add_test(t, one_retry_after_is_enough_and_is_kept_to);
    tcase_add_test(t, without_a_maximum_it_stays_closed);
    return run_tests(t, "breaker");
}
