/* anthropic_usage.c - null is not zero: a provider that has no cache states null. */
#include "backends/anthropic_usage.h"

void anthropic_usage_read(const struct jscan *scanner, size_t first, struct usage *out)
{
    static const enum usage_bucket buckets[ANTHROPIC_USAGE_PATH_COUNT] = {
        USAGE_INPUT, USAGE_CACHED_INPUT, USAGE_CACHE_WRITE, USAGE_OUTPUT};
    int64_t n;

    for (size_t i = 0; i < ANTHROPIC_USAGE_PATH_COUNT; i++) {
        if (!jscan_int(jscan_get(scanner, first + i), &n))
            continue;
        if (usage_is_possible(n))
            usage_set(out, buckets[i], n, USAGE_UPSTREAM);
        else
            out->disbelieved = n;
    }
}
