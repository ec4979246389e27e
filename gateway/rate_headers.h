/* rate_headers.h - what is left of an account's or key's rates, in the headers that OpenAI's SDKs know: x-ratelimit-limit-requests,
 * -remaining-requests, -reset-requests and the same of tokens. A reset is spelled as OpenAI spells it: "20ms", "1.5s", "6m0s". */
#ifndef TOLLGATE_GATEWAY_RATE_HEADERS_H
#define TOLLGATE_GATEWAY_RATE_HEADERS_H

#include "billing/admission.h"
#include "lib/net/httpd.h"

#define RATE_HEADERS 6
#define RATE_TEXT    32

/* Fields that point into their own texts: not to be copied. */
struct rate_headers {
    size_t count; /* 0 when there is no limit */
    struct http_field field[RATE_HEADERS];
    char text[RATE_HEADERS][RATE_TEXT];
};
void rate_headers_fill(struct rate_headers *h, const struct rate_left rates[RATES]);
/* A time to wait, rounded up to the millisecond. */
const char *rate_wait_format(int64_t us, char out[RATE_TEXT]);

#endif
