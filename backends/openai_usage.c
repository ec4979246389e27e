/* openai_usage.c - totals that include their parts are taken apart here, once, so that nothing is billed twice. */
#include "backends/openai_usage.h"

static bool take_apart(const struct openai_counts *c, const enum openai_count from[3],
                       const enum usage_bucket to[3], struct usage *out);

bool openai_counts_read(const struct jscan *scanner, struct openai_counts *out)
{
    struct openai_counts read = {0};

    for (size_t i = 0; i < OPENAI_COUNTS; i++)
        read.count[i].stated = jscan_int(jscan_get(scanner, 1 + i), &read.count[i].n);
    if (!read.count[OPENAI_PROMPT].stated && !read.count[OPENAI_COMPLETION].stated)
        return false;
    *out = read;
    return true;
}

void openai_counts_drop_output(struct openai_counts *counts)
{
    static const enum openai_count output[] = {OPENAI_COMPLETION, OPENAI_REASONING,
                                               OPENAI_AUDIO_OUT};

    for (size_t i = 0; i < ARRAY_LEN(output); i++)
        counts->count[output[i]].stated = false;
}

void openai_counts_add(struct openai_counts *sum, const struct openai_counts *more)
{
    for (size_t i = 0; i < OPENAI_COUNTS; i++) {
        int64_t n;

        if (!more->count[i].stated)
            continue;
        if (__builtin_add_overflow(sum->count[i].n, more->count[i].n, &n))
            n = INT64_MAX;
        sum->count[i].n = n;
        sum->count[i].stated = true;
    }
}

bool openai_counts_to_usage(const struct openai_counts *counts, struct usage *out)
{
    static const enum openai_count input[] = {OPENAI_PROMPT, OPENAI_CACHED, OPENAI_AUDIO_IN};
    static const enum openai_count output[] = {OPENAI_COMPLETION, OPENAI_REASONING,
                                               OPENAI_AUDIO_OUT};
    static const enum usage_bucket in[] = {USAGE_INPUT, USAGE_CACHED_INPUT, USAGE_AUDIO_INPUT};
    static const enum usage_bucket to[] = {USAGE_OUTPUT, USAGE_REASONING, USAGE_AUDIO_OUTPUT};
    bool input_fits = take_apart(counts, input, in, out);
    bool output_fits = take_apart(counts, output, to, out);

    return input_fits && output_fits;
}

/* The total comes first; each part takes from what is left of it. Parts of a total that is not stated, or cannot be, are not believed. */
static bool take_apart(const struct openai_counts *c, const enum openai_count from[3],
                       const enum usage_bucket to[3], struct usage *out)
{
    bool as_stated = true;
    int64_t left;

    if (!c->count[from[0]].stated)
        return !c->count[from[1]].stated && !c->count[from[2]].stated;
    left = c->count[from[0]].n;
    if (!usage_is_possible(left)) {
        out->disbelieved = left;
        return false;
    }
    for (size_t i = 1; i < 3; i++) {
        int64_t part;

        if (!c->count[from[i]].stated)
            continue;
        part = c->count[from[i]].n;
        if (part < 0 || part > left)
            as_stated = false;
        if (!usage_is_possible(part)) {
            out->disbelieved = part;
            continue;
        }
        part = part < left ? part : left;
        usage_set(out, to[i], part, USAGE_UPSTREAM);
        left -= part;
    }
    usage_set(out, to[0], left, USAGE_UPSTREAM);
    return as_stated;
}
