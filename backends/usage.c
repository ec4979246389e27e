/* usage.c - the buckets' names: the contract with prices and events, which know the same units. */
#include "backends/usage.h"

#include <assert.h>

const char *usage_bucket_name(enum usage_bucket b)
{
    static const char *const names[USAGE_BUCKETS] = {
        [USAGE_INPUT] = "input_tokens",
        [USAGE_CACHED_INPUT] = "cached_input_tokens",
        [USAGE_CACHE_WRITE] = "cache_write_tokens",
        [USAGE_AUDIO_INPUT] = "audio_input_tokens",
        [USAGE_OUTPUT] = "output_tokens",
        [USAGE_REASONING] = "reasoning_tokens",
        [USAGE_AUDIO_OUTPUT] = "audio_output_tokens",
    };

    assert(b < USAGE_BUCKETS);
    return names[b];
}

bool usage_is_possible(int64_t n)
{
    return n >= 0 && n <= USAGE_TOKENS_MAX;
}

void usage_set(struct usage *u, enum usage_bucket b, int64_t n, enum usage_source source)
{
    assert(b < USAGE_BUCKETS && n >= 0);
    u->bucket[b].n = n;
    u->bucket[b].source = source;
}
