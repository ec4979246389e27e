/* chance.h - chance for a test, from a seed: $SEED, or another each time. A test that draws prints it, so that a failure can
 * be had again: SEED=… and the test's program. */
#ifndef TOLLGATE_TESTS_BASE_CHANCE_H
#define TOLLGATE_TESTS_BASE_CHANCE_H

#include <inttypes.h>

#include "lib/base/rand.h"
#include "tests/base/run.h"

static uint64_t chance_state;

/* A fixture: each test begins with the seed. */
static inline UNUSED void chance_begin(void)
{
    const char *seed = getenv("SEED");

    chance_state = seed ? (uint64_t)number_of(seed) : rand_u64() >> 16;
    fprintf(stderr, "SEED=%" PRIu64 "\n", chance_state);
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static inline UNUSED uint64_t chance_u64(void)
{
    uint64_t z = chance_state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Over 0 … bound-1; nearly uniform for the small bounds of tests. */
static inline UNUSED uint64_t chance_below(uint64_t bound)
{
    return chance_u64() % bound;
}

static inline UNUSED void chance_bytes(void *out, size_t n)
{
    unsigned char *at = out;

    while (n-- > 0)
        *at++ = (unsigned char)chance_u64();
}

#endif
