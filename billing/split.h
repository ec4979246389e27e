/* split.h - divides a total by weights so that the parts add up exactly: largest remainder, ties by
 * the order given (creators by id, the platform last), sign-symmetric. */
#ifndef TOLLGATE_BILLING_SPLIT_H
#define TOLLGATE_BILLING_SPLIT_H

#include "billing/money.h"

#define SPLIT_MAX 64

/* parts[0..count) sum to total. Weights ≥ 0, at least one > 0, their sum ≤ 2^62; count ≤
 * SPLIT_MAX. */
void split_by_weight(int64_t total, const int64_t *weights, size_t count, int64_t *parts);

/* The contract's two stages: pool and platform by share_bp (0 … 10 000), then the pool by the
 * owners' weights, in the order given. parts[0..owners) and *platform sum to total. */
void split_contract(int64_t total, int64_t share_bp, const int64_t *weights, size_t owners,
                    int64_t *parts, int64_t *platform);

/* What is paid of an earned total, minor unit by minor unit: pays the floor of (earned so far),
 * less what was paid before. The rest is carried. Nothing is paid of a negative balance. */
int64_t payout_floor(int64_t balance_nanos, const char *currency);

#endif
