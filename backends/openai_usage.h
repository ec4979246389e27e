/* openai_usage.h - the "usage" object of OpenAI's chat completions: what is read of it, and how it becomes disjoint buckets. */
#ifndef TOLLGATE_BACKENDS_OPENAI_USAGE_H
#define TOLLGATE_BACKENDS_OPENAI_USAGE_H

#include "backends/usage.h"
#include "lib/base/jscan.h"

enum openai_count {
    OPENAI_PROMPT,
    OPENAI_COMPLETION,
    OPENAI_CACHED,
    OPENAI_AUDIO_IN,
    OPENAI_REASONING,
    OPENAI_AUDIO_OUT,
    OPENAI_COUNTS
};

/* The paths that openai_counts_read() needs, at the beginning of a scanner's paths: the object and its counts. */
#define OPENAI_USAGE_PATHS                                                                       \
    "usage", "usage.prompt_tokens", "usage.completion_tokens",                                   \
        "usage.prompt_tokens_details.cached_tokens", "usage.prompt_tokens_details.audio_tokens", \
        "usage.completion_tokens_details.reasoning_tokens",                                      \
        "usage.completion_tokens_details.audio_tokens"
#define OPENAI_USAGE_PATH_COUNT (1 + OPENAI_COUNTS)

/* As stated: the prompt includes cached and audio, the completion reasoning and audio. */
struct openai_counts {
    struct {
        bool stated;
        int64_t n;
    } count[OPENAI_COUNTS];
};

/* False (and `out` untouched) when the text has no usage object that states tokens of the prompt or the completion. */
bool openai_counts_read(const struct jscan *scanner, struct openai_counts *out) MUST_USE;
/* Of an answer that writes no tokens. */
void openai_counts_drop_output(struct openai_counts *counts);
/* Adds what `more` states; the sum stops at INT64_MAX. */
void openai_counts_add(struct openai_counts *sum, const struct openai_counts *more);
/* Sets the buckets that are known; a number that cannot be is as good as none, and is kept as disbelieved. The parts never exceed the
 * total as stated, even of numbers that contradict each other: then it returns false. */
bool openai_counts_to_usage(const struct openai_counts *counts, struct usage *out);

#endif
