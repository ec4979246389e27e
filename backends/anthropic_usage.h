/* anthropic_usage.h - the "usage" object of Anthropic's messages, whose input is disjoint already. */
#ifndef TOLLGATE_BACKENDS_ANTHROPIC_USAGE_H
#define TOLLGATE_BACKENDS_ANTHROPIC_USAGE_H

#include "backends/usage.h"
#include "lib/base/jscan.h"

/* The paths that anthropic_usage_read() needs, of a usage object at `at`. */
#define ANTHROPIC_USAGE_PATHS(at)                                                         \
    at ".input_tokens", at ".cache_read_input_tokens", at ".cache_creation_input_tokens", \
        at ".output_tokens"
#define ANTHROPIC_USAGE_PATH_COUNT 4

/* Sets the buckets that are stated, of which the first path stands at `first`: cumulative, so each replaces the one before. A number
 * that cannot be is as good as none, and is kept as disbelieved. */
void anthropic_usage_read(const struct jscan *scanner, size_t first, struct usage *out);

#endif
