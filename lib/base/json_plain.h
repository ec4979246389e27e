/* json_plain.h - the run of a JSON string's characters that stand for themselves: what the scanner skips and the writer
 * copies whole. */
#ifndef TOLLGATE_BASE_JSON_PLAIN_H
#define TOLLGATE_BASE_JSON_PLAIN_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifdef __SSE2__
/* A bit for each of 16 bytes: set for a quote, a backslash, a control character, and what is beyond ASCII. Compared as
 * signed numbers the last two are one case: all that is less than a blank. */
static inline unsigned json_special(__m128i bytes)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' ');

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                     _mm_cmplt_epi8(bytes, blank)));
}
#endif

/* The first byte that is not plain. What is left of 8 bytes or more is looked at together with some before it, which are known
 * to be plain: most texts are names and ids of about that size. */
static inline const char *json_plain_end(const char *at, const char *end)
{
#ifdef __SSE2__
    const char *from = at;

    for (; end - at >= 16; at += 16) {
        unsigned special = json_special(_mm_loadu_si128((const __m128i *)(const void *)at));

        if (special)
            return at + __builtin_ctz(special);
    }
    while (at < end && end - from >= 8) {
        unsigned special;

        if (end - at < 8)
            at = end - 8;
        special = json_special(_mm_loadl_epi64((const __m128i *)(const void *)at)) & 0xff;
        if (special)
            return at + __builtin_ctz(special);
        at += 8;
    }
#endif
    while (at < end && (signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

#endif
