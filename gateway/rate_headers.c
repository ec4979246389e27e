/* rate_headers.c - six headers out of two limits. */
#include "gateway/rate_headers.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUTE_MS 60000

static char *add_field(struct rate_headers *h, const char *name);

void rate_headers_fill(struct rate_headers *h, const struct rate_left rates[RATES])
{
    static const struct {
        const char *limit, *remaining, *reset;
    } names[RATES] = {
        [RATE_REQUESTS] = {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                           "x-ratelimit-reset-requests"},
        [RATE_TOKENS] = {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
                         "x-ratelimit-reset-tokens"},
    };

    h->count = 0;
    for (int i = 0; i < RATES; i++) {
        if (!rates[i].limit)
            continue;
        snprintf(add_field(h, names[i].limit), RATE_TEXT, "%" PRId64, rates[i].limit);
        snprintf(add_field(h, names[i].remaining), RATE_TEXT, "%" PRId64, rates[i].left);
        rate_wait_format(rates[i].reset_us, add_field(h, names[i].reset));
    }
}

static char *add_field(struct rate_headers *h, const char *name)
{
    char *text = h->text[h->count];

    h->field[h->count++] = (struct http_field){name, text};
    return text;
}

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
