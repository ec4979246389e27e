/* Splits: the worked examples of tests/data/split-vectors.json, and properties over random totals
 * and weights against an independent computation.
 *
 * Read here: split, aggregate_not_per_event, carry_nanos, refund_restates, co_creators_two_stage,
 * past_zero. test_price.c reads rating_nanos. No test reads minimum_payout_10000,
 * labour_remuneration_tax and cumulative_platform_tax: they are rules of settlement and tax, which
 * are not part of a split. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/split.h"
#include "lib/base/json.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"

#define ROUNDS     10000
#define SHARE_BP   7000
#define FEN_NANOS  INT64_C(10000000)
#define WEIGHT_SUM (UINT64_C(1) << 62)

struct pair {
    int64_t creator, platform;
};

static json_t *vectors;

static void load_vectors(void)
{
    const char *top = getenv("TOP_SRCDIR");
    char path[4096];

    snprintf(path, sizeof path, "%s/tests/data/split-vectors.json", top ? top : ".");
    vectors = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(vectors, "cannot read %s", path);
}

static void drop_vectors(void)
{
    json_decref(vectors);
}

static int64_t number(const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);

    ck_assert_msg(json_is_integer(value), "\"%s\" is missing", name);
    return json_integer_value(value);
}

/* The rows under a name, of which there must be some. */
static json_t *rows_of(const char *name)
{
    json_t *rows = json_object_get(vectors, name);

    ck_assert_msg(json_array_size(rows) > 0, "no rows \"%s\"", name);
    return rows;
}

static struct pair split_7030(int64_t total)
{
    const int64_t weight = 1;
    struct pair p;

    split_contract(total, SHARE_BP, &weight, 1, &p.creator, &p.platform);
    return p;
}

START_TEST(vector_splits_come_out)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows_of("split"), i, row)
    {
        struct pair p = split_7030(number(row, "total"));

        ck_assert_int_eq(p.creator, number(row, "creator"));
        ck_assert_int_eq(p.platform, number(row, "platform"));
    }
}
END_TEST

START_TEST(the_total_is_split_and_not_each_event)
{
    json_t *row = json_object_get(vectors, "aggregate_not_per_event");
    int64_t events = number(row, "events"), each = number(row, "each"), per_event = 0;
    struct pair p = split_7030(events * each);

    ck_assert_int_eq(p.creator, number(row, "creator"));
    ck_assert_int_eq(p.platform, number(row, "platform"));
    for (int64_t i = 0; i < events; i++)
        per_event += split_7030(each).creator;
    ck_assert_int_eq(per_event, number(row, "wrong_if_split_per_event"));
}
END_TEST

START_TEST(what_is_not_paid_is_carried)
{
    int64_t balance = 0;
    json_t *row;
    size_t i;

    json_array_foreach(rows_of("carry_nanos"), i, row)
    {
        struct pair p = split_7030(number(row, "gross"));
        int64_t paid;

        ck_assert_int_eq(p.creator, number(row, "creator"));
        ck_assert_int_eq(p.platform, number(row, "platform"));
        balance += p.creator;
        paid = payout_floor(balance, "CNY");
        balance -= paid;
        ck_assert_int_eq(paid, number(row, "paid_minor") * FEN_NANOS);
        ck_assert_int_eq(balance, number(row, "carry"));
    }
}
END_TEST

START_TEST(a_refund_restates_the_split)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows_of("refund_restates"), i, row)
    {
        int64_t gross = number(row, "gross"), refund = number(row, "refund");
        struct pair before = split_7030(gross), after = split_7030(gross - refund);
        json_t *wrong = json_object_get(row, "wrong_if_split_directly");

        ck_assert_int_eq(after.creator - before.creator, number(row, "creator"));
        ck_assert_int_eq(after.platform - before.platform, number(row, "platform"));
        if (wrong) {
            ck_assert_int_eq(split_7030(-refund).creator, number(wrong, "creator"));
            ck_assert_int_eq(split_7030(-refund).platform, number(wrong, "platform"));
        }
    }
}
END_TEST

START_TEST(co_creators_share_the_pool_in_a_second_stage)
{
    json_t *row = json_object_get(vectors, "co_creators_two_stage");
    json_t *weights = json_object_get(row, "weights"), *shares = json_object_get(row, "shares");
    int64_t weight[SPLIT_MAX], part[SPLIT_MAX], platform, pool = 0;
    const char *id;
    json_t *value;
    size_t count = 0, i = 0;

    json_object_foreach (weights, id, value)
        weight[count++] = json_integer_value(value);
    ck_assert_uint_ge(count, 2);
    split_contract(number(row, "total"), SHARE_BP, weight, count, part, &platform);
    ck_assert_int_eq(platform, number(row, "platform"));
    json_object_foreach (weights, id, value) {
        pool += part[i];
        ck_assert_int_eq(part[i++], number(shares, id));
    }
    ck_assert_int_eq(pool, number(row, "pool"));
}
END_TEST

START_TEST(a_debt_is_worked_off_before_anything_is_paid)
{
    int64_t balance = 0;
    json_t *row;
    size_t i;

    json_array_foreach(rows_of("past_zero"), i, row)
    {
        int64_t share = split_7030(number(row, "gross")).creator, paid;

        ck_assert_int_eq(share, number(row, "share"));
        balance += share * FEN_NANOS;
        paid = payout_floor(balance, "CNY");
        balance -= paid;
        ck_assert_int_eq(paid, number(row, "paid") * FEN_NANOS);
        ck_assert_int_eq(balance, number(row, "balance") * FEN_NANOS);
    }
}
END_TEST

/* Totals and weights of every size, and often of equal weights, so that ties are frequent. */
struct division {
    int64_t total;
    size_t count;
    int64_t weight[SPLIT_MAX];
};

static int64_t any_int64(void)
{
    return (int64_t)rand_u64() >> rand_below(64);
}

static struct division any_division(void)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, -INT64_MAX, INT64_MIN + 1, INT64_MIN};
    struct division c = {.total = rand_below(8) ? any_int64() : edges[rand_below(ARRAY_LEN(edges))],
                         .count = 1 + rand_below(rand_below(4) ? 5 : SPLIT_MAX)};
    unsigned bits = (unsigned)rand_below(56); /* 64 weights of 2^56 are 2^62 */

    for (size_t i = 0; i < c.count; i++)
        c.weight[i] = (int64_t)rand_below((UINT64_C(1) << bits) + 1);
    c.weight[rand_below(c.count)] += 1;
    return c;
}

/* The same method by other means: a part's remainder by way of total = q W + r, and who gets one
 * more by rank rather than by picking. */
static void split_by_rank(const struct division *c, int64_t *parts)
{
    int128 sum = 0, magnitude = c->total, rest[SPLIT_MAX], share[SPLIT_MAX], left;

    if (magnitude < 0)
        magnitude = -magnitude;
    for (size_t i = 0; i < c->count; i++)
        sum += c->weight[i];
    left = magnitude;
    for (size_t i = 0; i < c->count; i++) {
        int128 product = magnitude % sum * c->weight[i];

        share[i] = magnitude / sum * c->weight[i] + product / sum;
        rest[i] = product % sum;
        left -= share[i];
    }
    for (size_t i = 0; i < c->count; i++) {
        int128 rank = 0;

        for (size_t k = 0; k < c->count; k++)
            rank += rest[k] > rest[i] || (rest[k] == rest[i] && k < i);
        share[i] += rank < left;
        parts[i] = (int64_t)(c->total < 0 ? -share[i] : share[i]);
    }
}

START_TEST(shares_always_add_up_to_the_whole)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct division c = any_division();
        int64_t parts[SPLIT_MAX];
        int128 sum = 0;

        split_by_weight(c.total, c.weight, c.count, parts);
        for (size_t i = 0; i < c.count; i++)
            sum += parts[i];
        ck_assert_msg(sum == c.total, "%lld among %zu", (long long)c.total, c.count);
    }
}
END_TEST

/* |part - total w / W| < 1, multiplied out. */
START_TEST(every_share_is_within_one_of_the_exact_share)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct division c = any_division();
        int64_t parts[SPLIT_MAX];
        int128 weights = 0;

        split_by_weight(c.total, c.weight, c.count, parts);
        for (size_t i = 0; i < c.count; i++)
            weights += c.weight[i];
        for (size_t i = 0; i < c.count; i++) {
            int128 off = (int128)parts[i] * weights - (int128)c.total * c.weight[i];

            ck_assert_msg(off < weights && off > -weights, "%lld, weight %lld: %lld",
                          (long long)c.total, (long long)c.weight[i], (long long)parts[i]);
            ck_assert(c.weight[i] > 0 || parts[i] == 0);
        }
    }
}
END_TEST

START_TEST(a_refund_divides_as_the_sale_did)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct division c = any_division();
        int64_t there[SPLIT_MAX], back[SPLIT_MAX];

        if (c.total == INT64_MIN)
            continue;
        split_by_weight(c.total, c.weight, c.count, there);
        split_by_weight(-c.total, c.weight, c.count, back);
        for (size_t i = 0; i < c.count; i++)
            ck_assert_int_eq(there[i], -back[i]);
    }
}
END_TEST

START_TEST(another_way_of_computing_gives_the_same_shares)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct division c = any_division();
        int64_t parts[SPLIT_MAX], expected[SPLIT_MAX];

        split_by_weight(c.total, c.weight, c.count, parts);
        split_by_rank(&c, expected);
        for (size_t i = 0; i < c.count; i++)
            ck_assert_msg(parts[i] == expected[i], "%lld among %zu: part %zu is %lld, not %lld",
                          (long long)c.total, c.count, i, (long long)parts[i],
                          (long long)expected[i]);
    }
}
END_TEST

START_TEST(ties_go_to_the_first)
{
    const int64_t equal[] = {1, 1, 1, 1};
    int64_t parts[4];

    split_by_weight(6, equal, 4, parts);
    ck_assert(parts[0] == 2 && parts[1] == 2 && parts[2] == 1 && parts[3] == 1);
    split_by_weight(-6, equal, 4, parts);
    ck_assert(parts[0] == -2 && parts[1] == -2 && parts[2] == -1 && parts[3] == -1);
    split_by_weight(3, equal, 2, parts);
    ck_assert(parts[0] == 2 && parts[1] == 1);
}
END_TEST

START_TEST(the_greatest_totals_and_weights_do_not_overflow)
{
    static const int64_t totals[] = {INT64_MAX, -INT64_MAX, INT64_MIN + 1, INT64_MIN};
    const int64_t one[] = {(int64_t)WEIGHT_SUM}, two[] = {(int64_t)(WEIGHT_SUM - 1), 1};
    int64_t parts[2];

    for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
        split_by_weight(totals[i], one, 1, parts);
        ck_assert_int_eq(parts[0], totals[i]);
        split_by_weight(totals[i], two, 2, parts);
        ck_assert_int_eq(parts[0], totals[i] - parts[1]);
        ck_assert_int_eq(parts[1], totals[i] < 0 ? -2 : 2); /* 2^63 / 2^62 */
    }
}
END_TEST

START_TEST(a_contract_gives_all_or_nothing_at_its_ends)
{
    const int64_t weights[] = {2, 1};
    int64_t parts[2], platform;

    split_contract(101, 10000, weights, 2, parts, &platform);
    ck_assert(parts[0] == 67 && parts[1] == 34 && platform == 0);
    split_contract(101, 0, weights, 2, parts, &platform);
    ck_assert(parts[0] == 0 && parts[1] == 0 && platform == 101);
}
END_TEST

START_TEST(a_contracts_shares_add_up_and_its_pool_ignores_who_is_in_it)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct division c = any_division();
        int64_t share_bp = (int64_t)rand_below(10001), one = 1;
        int64_t parts[SPLIT_MAX], platform, alone, platform_alone;
        int128 sum;

        split_contract(c.total, share_bp, c.weight, c.count, parts, &platform);
        split_contract(c.total, share_bp, &one, 1, &alone, &platform_alone);
        sum = platform;
        for (size_t i = 0; i < c.count; i++)
            sum += parts[i];
        ck_assert(sum == c.total);
        ck_assert_int_eq(platform, platform_alone);
    }
}
END_TEST

/* Whatever the rhythm, what was ever paid is the floor of what was ever earned. */
START_TEST(all_payouts_together_are_the_floor_of_all_earnings)
{
    for (int round = 0; round < ROUNDS / 100; round++) {
        int64_t earned = 0, paid = 0;

        for (int month = 0; month < 100; month++) {
            earned += (int64_t)rand_below(UINT64_C(1) << rand_below(40));
            paid += payout_floor(earned - paid, "CNY");
            ck_assert_int_eq(paid, earned / FEN_NANOS * FEN_NANOS);
        }
    }
}
END_TEST

START_TEST(nothing_is_paid_of_less_than_a_minor_unit)
{
    ck_assert_int_eq(payout_floor(0, "CNY"), 0);
    ck_assert_int_eq(payout_floor(FEN_NANOS - 1, "CNY"), 0);
    ck_assert_int_eq(payout_floor(FEN_NANOS, "CNY"), FEN_NANOS);
    ck_assert_int_eq(payout_floor(-1, "CNY"), 0);
    ck_assert_int_eq(payout_floor(INT64_MIN, "CNY"), 0);
    ck_assert_int_eq(payout_floor(NANOS_PER_UNIT - 1, "JPY"), 0);
}
END_TEST

static TCase *examples(void)
{
    TCase *tcase = tcase_create("examples");

    tcase_add_checked_fixture(tcase, load_vectors, drop_vectors);
    tcase_add_test(tcase, vector_splits_come_out);
    tcase_add_test(tcase, the_total_is_split_and_not_each_event);
    tcase_add_test(tcase, what_is_not_paid_is_carried);
    tcase_add_test(tcase, a_refund_restates_the_split);
    tcase_add_test(tcase, co_creators_share_the_pool_in_a_second_stage);
    tcase_add_test(tcase, a_debt_is_worked_off_before_anything_is_paid);
    return tcase;
}

static TCase *properties(void)
{
    TCase *tcase = tcase_create("properties");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, shares_always_add_up_to_the_whole);
    tcase_add_test(tcase, every_share_is_within_one_of_the_exact_share);
    tcase_add_test(tcase, a_refund_divides_as_the_sale_did);
    tcase_add_test(tcase, another_way_of_computing_gives_the_same_shares);
    tcase_add_test(tcase, ties_go_to_the_first);
    tcase_add_test(tcase, the_greatest_totals_and_weights_do_not_overflow);
    tcase_add_test(tcase, a_contract_gives_all_or_nothing_at_its_ends);
    tcase_add_test(tcase, a_contracts_shares_add_up_and_its_pool_ignores_who_is_in_it);
    tcase_add_test(tcase, all_payouts_together_are_the_floor_of_all_earnings);
    tcase_add_test(tcase, nothing_is_paid_of_less_than_a_minor_unit);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("split");

    suite_add_tcase(suite, examples());
    suite_add_tcase(suite, properties());
    return run_suite(suite);
}
