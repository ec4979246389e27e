/* rate_headers.c - three headers of each limit and dialect. */
#include "gateway/rate_headers.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"

#define MINUTE_MS 60000

/* How a dialect calls what is left. */
struct names {
    const char *limit, *remaining, *reset;
};
static const struct names openai[RATES] = {
    [RATE_REQUESTS] = {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                       "x-ratelimit-reset-requests"},
    [RATE_TOKENS] = {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
                     "x-ratelimit-reset-tokens"},
};
static const struct names anthropic[RATES] = {
    [RATE_REQUESTS] = {"anthropic-ratelimit-requests-limit",
                       "anthropic-ratelimit-requests-remaining",
                       "anthropic-ratelimit-requests-reset"},
    [RATE_TOKENS] = {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
                     "anthropic-ratelimit-tokens-reset"},
};

static void add_rate(struct rate_headers *h, const struct names *names,
                     const struct rate_left *rate);
static char *add_field(struct rate_headers *h, const char *name);

void rate_headers_fill(struct rate_headers *h, const struct rate_left rates[RATES],
                       bool is_anthropic)
{
    int64_t now = clock_now();

    h->count = 0;
    for (int i = 0; i < RATES; i++) {
        int64_t left_ns = rates[i].full_at > now ? rates[i].full_at - now : 0;

        if (!rates[i].limit)
            continue;
        add_rate(h, &openai[i], &rates[i]);
        rate_wait_format((left_ns + 999) / 1000, add_field(h, openai[i].reset));
        if (!is_anthropic)
            continue;
        add_rate(h, &anthropic[i], &rates[i]);
        clock_format(now + left_ns + NANOS_PER_MS - 1, add_field(h, anthropic[i].reset));
    }
}

static void add_rate(struct rate_headers *h, const struct names *names,
                     const struct rate_left *rate)
{
    snprintf(add_field(h, names->limit), RATE_TEXT, "%" PRId64, rate->limit);
    snprintf(add_field(h, names->remaining), RATE_TEXT, "%" PRId64, rate->left);
}

static char *add_field(struct rate_headers *h, const char *name)
{
    char *text = h->text[h->count];

    h->field[h->count++] = (struct http_field){name, text};
    return text;
}

_Static_assert(CLOCK_TEXT <= RATE_TEXT, "a time of day fits");

const char *rate_wait_format(int64_t us, char out[RATE_TEXT])
{
    int64_t ms = (us + 999) / 1000, seconds = ms / 1000;
    int part = (int)(ms % 1000), digits = 3;

    if (ms < 1000) {
        snprintf(out, RATE_TEXT, "%" PRId64 "ms", ms);
        return out;
    }
    for (; digits > 0 && part % 10 == 0; digits--)
        part /= 10;
    size_t n = 0;
    if (ms >= MINUTE_MS)
        n = (size_t)snprintf(out, RATE_TEXT, "%" PRId64 "m", seconds / 60);
    n += (size_t)snprintf(out + n, RATE_TEXT - n, "%" PRId64, seconds % 60);
    if (digits > 0)
        n += (size_t)snprintf(out + n, RATE_TEXT - n, ".%0*d", digits, part);
    snprintf(out + n, RATE_TEXT - n, "s");
    return out;
}
