/* split.c - largest remainder (Hamilton's method) on the magnitude, so that a refund divides as the
 * sale did; products are below 2^125. */
#include "billing/split.h"

#include <assert.h>

#define SHARE_BP_WHOLE 10000

static uint64_t split_floors(uint64_t magnitude, const int64_t *weights, size_t count,
                             uint64_t *parts, uint64_t *remainders);
static size_t largest(const uint64_t *remainders, size_t count);

void split_by_weight(int64_t total, const int64_t *weights, size_t count, int64_t *parts)
{
    uint64_t magnitude = total < 0 ? -(uint64_t)total : (uint64_t)total;
    uint64_t shares[SPLIT_MAX], remainders[SPLIT_MAX];
    uint64_t left;

    assert(count >= 1 && count <= SPLIT_MAX);
    left = split_floors(magnitude, weights, count, shares, remainders);
    for (; left > 0; left--) {
        size_t i = largest(remainders, count);

        shares[i]++;
        remainders[i] = 0;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = total < 0 ? (int64_t)-shares[i] : (int64_t)shares[i];
}

/* Returns what the floors leave over. It is fewer than the remainders above zero, so no weight of
 * zero gets any. */
static uint64_t split_floors(uint64_t magnitude, const int64_t *weights, size_t count,
                             uint64_t *parts, uint64_t *remainders)
{
    uint64_t sum = 0, left = magnitude;

    for (size_t i = 0; i < count; i++) {
        assert(weights[i] >= 0);
        sum += (uint64_t)weights[i];
        assert(sum <= UINT64_C(1) << 62);
    }
    assert(sum > 0);
    for (size_t i = 0; i < count; i++) {
        uint128 product = (uint128)magnitude * (uint64_t)weights[i];

        parts[i] = (uint64_t)(product / sum);
        remainders[i] = (uint64_t)(product % sum);
        left -= parts[i];
    }
    return left;
}

/* The first of equals. */
static size_t largest(const uint64_t *remainders, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++)
        if (remainders[i] > remainders[best])
            best = i;
    return best;
}

void split_contract(int64_t total, int64_t share_bp, const int64_t *weights, size_t owners,
                    int64_t *parts, int64_t *platform)
{
    const int64_t stage[] = {share_bp, SHARE_BP_WHOLE - share_bp};
    int64_t pool_and_platform[2];

    split_by_weight(total, stage, 2, pool_and_platform);
    split_by_weight(pool_and_platform[0], weights, owners, parts);
    *platform = pool_and_platform[1];
}

int64_t payout_floor(int64_t balance_nanos, const char *currency)
{
    return balance_nanos > 0 ? money_floor_minor(balance_nanos, currency) : 0;
}
