/* money.h - amounts of a currency as int64 nanos (1e-9 of its major unit), decimal text, and the
 * one rounding function. 128 bits for totals and products; no floating point anywhere. */
#ifndef TOLLGATE_BILLING_MONEY_H
#define TOLLGATE_BILLING_MONEY_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define NANOS_PER_UNIT INT64_C(1000000000)
/* No single amount passes this (1e15 nanos are a million; this is nine million): what Redis adds up
 * stays far inside int64. */
#define AMOUNT_NANOS_MAX INT64_C(9000000000000000)
#define CURRENCY_TEXT    4
#define DECIMAL_TEXT     48 /* holds any int128 of nanos as text */

struct money {
    int64_t nanos;
    char currency[CURRENCY_TEXT]; /* ISO 4217, "CNY" */
};

/* The currencies of ISO 4217 that the platform settles in, with their minor units. */
bool currency_is_known(struct span code);
/* Nanos of one minor unit: 10 000 000 for CNY (fen), 1e9 for JPY. The currency must be a known
 * one. */
int64_t currency_minor_nanos(const char *currency);

/* "12", "-0.000000001", at most nine decimals and int64; no exponent, '+', blanks, leading zeros or
 * minus zero. ERR_INPUT says what is wrong. */
bool decimal_parse(struct span text, int64_t *nanos, struct err *err) MUST_USE;
/* The shortest decimal: "12", "-0.000000001", "0". Returns `out`. */
const char *decimal_format(int128 nanos, char out[DECIMAL_TEXT]);

/* numerator / denominator (> 0), halves away from zero: the only rounding in the project besides
 * payouts' floor. */
int128 round_half_up(int128 numerator, int128 denominator);
/* Rounded down (toward minus infinity) to the minor unit. `nanos` must be a minor unit above
 * INT64_MIN. */
int64_t money_floor_minor(int64_t nanos, const char *currency);
/* False when the 128-bit value is beyond int64. */
bool nanos_fit(int128 value, int64_t *out) MUST_USE;

#endif
