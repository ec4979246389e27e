/* pattern.h - bytes of which each says where it stands, so that one that is lost, doubled or moved shows. */
#ifndef TOLLGATE_TESTS_NET_PATTERN_H
#define TOLLGATE_TESTS_NET_PATTERN_H

#include <check.h>
#include <string.h>

#include "lib/base/attr.h"

/* The bytes that stand at `at` and behind it in the pattern. */
static inline UNUSED void pattern_fill(char *out, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((at + i) * 31 + (at + i) / 251);
}

static inline UNUSED bool is_pattern(const char *bytes, size_t at, size_t n)
{
    static char expected[1 << 20];

    ck_assert_uint_le(n, sizeof expected);
    pattern_fill(expected, at, n);
    return n == 0 || memcmp(bytes, expected, n) == 0;
}

#endif
