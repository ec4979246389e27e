/* rate_headers.h - what is left of an account's or key's rates, as the SDKs know it: everywhere in OpenAI's headers
 * (x-ratelimit-limit-requests, -remaining-requests, -reset-requests, and the same of tokens; a reset is a time to wait,
 * "20ms", "1.5s", "6m0s"), and to who speaks Anthropic's dialect in those too (anthropic-ratelimit-requests-limit,
 * -remaining, -reset, and the same of tokens; a reset is a time of day by RFC 3339). Sources: platform.openai.com, "Rate
 * limits", and docs.anthropic.com, "Rate limits: response headers". */
#ifndef TOLLGATE_GATEWAY_RATE_HEADERS_H
#define TOLLGATE_GATEWAY_RATE_HEADERS_H

#include "billing/admission.h"
#include "lib/net/httpd.h"

#define RATE_HEADERS 12
#define RATE_TEXT    32

/* Fields that point into their own texts: not to be copied. */
struct rate_headers {
    size_t count; /* 0 when there is no limit */
    struct http_field field[RATE_HEADERS];
    char text[RATE_HEADERS][RATE_TEXT];
};
/* As things stand for who asks for nothing more: what has come back since admission is counted in the resets. */
void rate_headers_fill(struct rate_headers *h, const struct rate_left rates[RATES],
                       bool is_anthropic);
/* A time to wait, rounded up to the millisecond. */
const char *rate_wait_format(int64_t us, char out[RATE_TEXT]);

#endif
