/* test_rates_exact.c - request and token rates of the scripts against GCRA computed here in exact integers.
 *
 * Each arrival is only known to lie between two readings of Redis's clock: what was admitted must fit if it came as late as
 * possible, what was refused must not have fitted had it come as early as possible. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>

#include "billing/money.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/rates_fixture.h"

/* Theoretical arrival times in microseconds times the limit, so that nothing is rounded: as if each call came as early, or
 * as late, as it can have. */
struct gcra {
    int64_t limit;
    int128 early, late;
};

static int128 later(int128 a, int128 b)
{
    return a > b ? a : b;
}

static int64_t rounded_cost(int64_t n, int64_t limit)
{
    return (int64_t)(((int128)n * MINUTE + limit - 1) / limit);
}

/* `burst` as the script has it, microseconds. */
static void check_verdict(struct gcra *g, const struct answer *a, int64_t n, int64_t burst,
                          int64_t before, int64_t after)
{
    int128 exact = (int128)n * MINUTE, rounded = (int128)rounded_cost(n, g->limit) * g->limit;
    int128 from = (int128)before * g->limit, to = (int128)after * g->limit;

    if (is(a, "OK")) {
        g->early = later(g->early, from) + exact;
        g->late = later(g->late, to) + rounded;
        ck_assert_msg(g->early - to <= (int128)g->limit * MINUTE, "more was admitted than may be");
    } else {
        ck_assert_str_eq(a->word[0], "RATE");
        ck_assert_msg(later(g->late, from) + rounded - from > (int128)burst * g->limit,
                      "it was refused and had room");
    }
}

static const int64_t limits[] = {1, 7, 59, 60, 61, 997, 10000, 1234567, 100000000};

START_TEST(requests_pass_as_the_exact_bucket_says)
{
    struct gcra g = {.limit = limits[_i]};
    int64_t burst = g.limit * rounded_cost(1, g.limit);
    unsigned admitted = 0, refused = 0;
    struct answer a;

    open_account(g.limit, 0, 0, 0);
    for (unsigned i = 0; i < 400; i++) {
        int64_t before = now_us();
        admit(&a, i, 0);
        check_verdict(&g, &a, 1, burst, before, now_us());
        admitted += is(&a, "OK");
        refused += is(&a, "RATE");
        if (draw(3) == 0)
            pass((int64_t)draw((uint64_t)(3 * MINUTE / g.limit + 2)));
    }
    ck_assert_uint_gt(admitted, 0);
    ck_assert(refused > 0 || g.limit >= 400);
}
END_TEST

START_TEST(tokens_pass_as_the_exact_bucket_says)
{
    struct gcra g = {.limit = limits[_i]};
    unsigned admitted = 0, refused = 0;
    struct answer a;

    open_account(0, 0, 0, g.limit);
    for (unsigned i = 0; i < 400; i++) {
        int64_t n = 1 + (int64_t)draw((uint64_t)g.limit);
        int64_t before = now_us();
        admit(&a, i, n);
        check_verdict(&g, &a, n, MINUTE, before, now_us());
        admitted += is(&a, "OK");
        refused += is(&a, "RATE");
        if (draw(2) == 0)
            pass((int64_t)draw(MINUTE));
    }
    ck_assert_uint_gt(admitted, 20);
    ck_assert_uint_gt(refused, 20);
}
END_TEST

/* The least whole number of microseconds that is not less than the exact cost: read from the entry and from the rate. */
START_TEST(costs_are_rounded_up_and_by_less_than_a_microsecond)
{
    int64_t limit = limits[_i];
    struct answer a;

    open_account(0, limit, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        int64_t n = 1 + (int64_t)draw((uint64_t)limit);
        ck_assert(is(admit(&a, i, n), "OK"));
        AUTO_STRING entry = fixture_ask(&redis, "HGET tg:{a17}:holds:acct req_%u", i);
        int64_t tokens, cost;
        ck_assert_int_eq(sscanf(entry, "1 w-a %*d %" SCNd64 " %" SCNd64 ":", &tokens, &cost), 2);
        ck_assert_int_eq(tokens, n);
        ck_assert((int128)cost * limit >= (int128)n * MINUTE);
        ck_assert((int128)(cost - 1) * limit < (int128)n * MINUTE);
        pass(MINUTE);
    }
    set("HSET tg:{a17}:account:acct rpm %" PRId64, limit);
    set("HSET tg:{a17}:rate:acct requests %" PRId64, now_us() - passed_us + MINUTE / 2);
    AUTO_STRING before = fixture_ask(&redis, "HGET tg:{a17}:rate:acct requests");
    if (!is(admit(&a, 100, 1), "OK"))
        return; /* of one a minute none fits */
    AUTO_STRING after = fixture_ask(&redis, "HGET tg:{a17}:rate:acct requests");
    ck_assert_int_eq(number_of(after) - number_of(before), rounded_cost(1, limit));
}
END_TEST

/* What a call used, counted when it was admitted. */
struct use {
    int64_t at, tokens, used;
    bool is_open;
};

static void expect_bound(const struct use *uses, size_t count, int64_t limit)
{
    for (size_t i = 0; i < count; i++) {
        int128 sum = 0;
        for (size_t k = i; k < count; k++) {
            sum += uses[k].used;
            int128 w = uses[k].at - uses[i].at;
            ck_assert_msg(sum * MINUTE <= (int128)limit * (MINUTE + w),
                          "%zu calls from the %zuth on used more than the bound", k - i + 1, i);
        }
    }
}

/* Calls end in any order, after any time, having used anything up to what they reserved. */
START_TEST(what_was_used_stays_within_the_bound_whatever_is_given_back)
{
    enum { CALLS = 300 };
    static struct use uses[CALLS];
    int64_t limit = limits[2 + _i % 7];
    size_t count = 0, refused = 0;
    struct answer a;

    open_account(0, limit, 0, limit);
    seed += (uint64_t)_i * 7919;
    while (count < CALLS) {
        uint64_t step = draw(4);
        if (step == 0) {
            pass((int64_t)draw(draw(5) ? MINUTE / 20 : 2 * MINUTE));
        } else if (step == 1 && count > 0) {
            size_t k = draw(count);
            if (uses[k].is_open)
                end((unsigned)k, uses[k].used);
            uses[k].is_open = false;
        } else {
            struct use u = {.tokens = 1 + (int64_t)draw((uint64_t)limit), .is_open = true};
            u.used = draw(3) ? (int64_t)draw((uint64_t)u.tokens + 1) / 10 : u.tokens;
            admit(&a, (unsigned)count, u.tokens);
            u.at = now_us(); /* later than it was: the bound is a little wider than it must be */
            if (is(&a, "OK"))
                uses[count++] = u;
            else
                refused++;
        }
    }
    expect_bound(uses, count, limit);
    ck_assert_uint_gt(refused, 10);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("rates_exact");

    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, start, stop);
    tcase_add_loop_test(t, requests_pass_as_the_exact_bucket_says, 0, ARRAY_LEN(limits));
    tcase_add_loop_test(t, tokens_pass_as_the_exact_bucket_says, 0, ARRAY_LEN(limits));
    tcase_add_loop_test(t, costs_are_rounded_up_and_by_less_than_a_microsecond, 0,
                        ARRAY_LEN(limits));
    tcase_add_loop_test(t, what_was_used_stays_within_the_bound_whatever_is_given_back, 0, 14);
    return run_tests(t, "rates_exact");
}
