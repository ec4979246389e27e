/* usage.h - what a provider says a call used, in disjoint buckets (OpenTelemetry GenAI and OpenAI names, cached input
 * and what was written to a cache taken out of input, reasoning out of output). All zero is a usage of which nothing is known. */
#ifndef TOLLGATE_BACKENDS_USAGE_H
#define TOLLGATE_BACKENDS_USAGE_H

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* More than any model reads or writes in one call: a number above it is a mistake, and no bill is made of it. */
#define USAGE_TOKENS_MAX INT32_MAX

enum usage_bucket {
    USAGE_INPUT,
    USAGE_CACHED_INPUT,
    USAGE_CACHE_WRITE,
    USAGE_AUDIO_INPUT,
    USAGE_OUTPUT,
    USAGE_REASONING,
    USAGE_AUDIO_OUTPUT,
    USAGE_BUCKETS
};
enum usage_source { USAGE_MISSING, USAGE_UPSTREAM, USAGE_COUNTED, USAGE_ESTIMATED };

struct usage {
    struct {
        int64_t n; /* ≥ 0; 0 while the source is USAGE_MISSING */
        enum usage_source source;
    } bucket[USAGE_BUCKETS];
    int64_t disbelieved; /* a number that was stated and cannot be, so its bucket is as if it were not; 0: none */
};

/* "input_tokens", … the unit's name in prices and events. */
const char *usage_bucket_name(enum usage_bucket b);
/* From 0 to USAGE_TOKENS_MAX. */
bool usage_is_possible(int64_t n);
void usage_set(struct usage *u, enum usage_bucket b, int64_t n, enum usage_source source);

#endif
