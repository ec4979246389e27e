/* Randomness: all that was asked for is filled, however the system hands it out, and evenly. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/rand.h"
#include "tests/base/run.h"

static enum { WHOLE, PIECES, REFUSED } mode;

ssize_t __real_getrandom(void *out, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags)
{
    static unsigned calls;

    if (mode == WHOLE)
        return __real_getrandom(out, n, flags);
    errno = mode == REFUSED ? ENOSYS : EINTR;
    if (mode == REFUSED || calls++ % 2)
        return -1;
    memset(out, 0xaa, 1);
    return 1;
}

START_TEST(interrupted_and_short_answers_are_continued)
{
    unsigned char bytes[100] = {0};

    mode = PIECES;
    rand_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0xaa);
}
END_TEST

START_TEST(without_randomness_the_process_ends)
{
    mode = REFUSED;
    ck_assert_uint_eq(rand_u64(), 0);
}
END_TEST

/* Each count is binomial with mean 20 000 and deviation 126 or so; 8 deviations never happen by chance. */
START_TEST(numbers_below_a_bound_are_evenly_spread)
{
    unsigned counts[3] = {0};

    for (int i = 0; i < 60000; i++) {
        uint64_t n = rand_below(3);

        ck_assert_uint_lt(n, 3);
        counts[n]++;
    }
    for (int i = 0; i < 3; i++)
        ck_assert(counts[i] > 19000 && counts[i] < 21000);
    ck_assert_uint_eq(rand_below(1), 0);
}
END_TEST

/* 2^63 + 1: a plain remainder would give the lower half twice as often as the upper. */
START_TEST(large_bounds_are_even_too)
{
    uint64_t bound = (UINT64_C(1) << 63) + 1;
    unsigned upper = 0;

    for (int i = 0; i < 20000; i++)
        upper += rand_below(bound) >= bound / 2;
    ck_assert(upper > 9400 && upper < 10600);
}
END_TEST

START_TEST(texts_have_their_length_and_all_36_characters_evenly)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    unsigned counts[36] = {0};
    char text[1001];

    for (int i = 0; i < 100; i++) {
        rand_text(text, 1000);
        ck_assert_uint_eq(strlen(text), 1000);
        for (size_t k = 0; k < 1000; k++) {
            const char *at = strchr(alphabet, text[k]);

            ck_assert_ptr_nonnull(at);
            counts[at - alphabet]++;
        }
    }
    for (int i = 0; i < 36; i++)
        ck_assert(counts[i] > 2300 && counts[i] < 3300);
    rand_text(text, 0);
    ck_assert_str_eq(text, "");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("rand");

    tcase_add_test(tcase, interrupted_and_short_answers_are_continued);
    tcase_add_test_raise_signal(tcase, without_randomness_the_process_ends, SIGABRT);
    tcase_add_test(tcase, numbers_below_a_bound_are_evenly_spread);
    tcase_add_test(tcase, large_bounds_are_even_too);
    tcase_add_test(tcase, texts_have_their_length_and_all_36_characters_evenly);
    return run_tests(tcase, "rand");
}
