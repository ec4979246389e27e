/* json_plain.h - the run of a JSON string's characters that stand for themselves: what the scanner skips and the writer
 * copies whole. */
#ifndef TOLLGATE_BASE_JSON_PLAIN_H
#define TOLLGATE_BASE_JSON_PLAIN_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first byte that is not plain: a quote, a backslash, a control character, or beyond ASCII. Compared as
 * signed numbers the last two are one case: all that is less than a blank. */
static inline const char *json_plain_end(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' ');

    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmplt_epi8(bytes, blank));
        int mask = _mm_movemask_epi8(special);

        if (mask)
            return at + __builtin_ctz((unsigned)mask);
    }
#endif
    while (at < end && (signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

#endif
