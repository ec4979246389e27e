/* test_handover.c - the bound against an exact record of every byte, over random ways of writing and taking. */
#include <check.h>
#include <stdlib.h>

#include "lib/net/handover.h"
#include "tests/base/run.h"

#define STREAM_MAX 20000

/* payload_at[n]: payload bytes among the first n of the stream. */
struct model {
    uint64_t payload_at[STREAM_MAX + 1];
    uint64_t len;
};

static void model_add(struct model *m, uint64_t n, bool is_payload)
{
    for (; n; n--, m->len++)
        m->payload_at[m->len + 1] = m->payload_at[m->len] + is_payload;
}

START_TEST(the_bound_is_never_above_the_truth_and_meets_it_at_the_end)
{
    static struct model m;
    unsigned seed = 1 + (unsigned)_i;
    struct handover h = {0};
    uint64_t taken = 0, last = 0;

    m.len = 0;
    while (m.len < STREAM_MAX - 200) {
        uint64_t n = rand_r(&seed) % 100, bound;

        model_add(&m, rand_r(&seed) % 20, false);
        handover_add(&h, m.len, n, taken);
        model_add(&m, n, true);
        model_add(&m, rand_r(&seed) % 3, false);
        if (rand_r(&seed) % (1 + (unsigned)_i) == 0)
            taken += rand_r(&seed) % (m.len - taken + 1);
        bound = handover_taken(&h, taken);
        ck_assert_uint_le(bound, m.payload_at[taken]);
        ck_assert_uint_ge(bound, last);
        ck_assert_uint_eq(h.offered, m.payload_at[m.len]);
        ck_assert_uint_eq(handover_taken(&h, m.len), h.offered);
        last = bound;
    }
}
END_TEST

START_TEST(the_bound_is_exact_while_few_pieces_wait)
{
    static struct model m;
    struct handover h = {0};

    m.len = 0;
    for (int i = 0; i < HANDOVER_RUNS; i++) {
        model_add(&m, 7, false);
        handover_add(&h, m.len, 50, 0);
        model_add(&m, 50, true);
    }
    for (uint64_t taken = 0; taken <= m.len; taken++)
        ck_assert_uint_eq(handover_taken(&h, taken), m.payload_at[taken]);
}
END_TEST

START_TEST(payload_without_framing_is_always_exact)
{
    struct handover h = {0};

    for (uint64_t i = 0; i < 1000; i++)
        handover_add(&h, 100 + 10 * i, 10, 0);
    ck_assert_uint_eq(handover_taken(&h, 50), 0);
    for (uint64_t taken = 100; taken <= 100 + 10000; taken++)
        ck_assert_uint_eq(handover_taken(&h, taken), taken - 100);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("bound");

    tcase_add_loop_test(c, the_bound_is_never_above_the_truth_and_meets_it_at_the_end, 0, 40);
    tcase_add_test(c, the_bound_is_exact_while_few_pieces_wait);
    tcase_add_test(c, payload_without_framing_is_always_exact);
    return run_tests(c, "handover");
}
