/* chat_request.h - what of a chat completion's body matters to the gateway, found in one pass without a tree. */
#ifndef TOLLGATE_GATEWAY_CHAT_REQUEST_H
#define TOLLGATE_GATEWAY_CHAT_REQUEST_H

#include "billing/event.h"
#include "lib/base/jscan.h"

struct chat_request {
    struct span body;
    char model[MODEL_TEXT];
    struct span model_value;    /* the JSON value of "model" in body, quotes included */
    bool stream;
    bool usage_wanted;          /* stream_options.include_usage */
    struct span stream_options; /* the value, or null data */
    struct span cap_value;      /* the value of the cap that counts, or null data */
    int64_t cap;                /* 0: the caller gave none */
    int64_t n;                  /* choices, ≥ 1 */
};

/* A scanner for these fields; one per worker is enough. */
struct jscan *chat_request_scanner(void) MUST_USE;
/* Spans point into `body`. ERR_INPUT with a sentence for malformed JSON, a routed field of the wrong type or given twice, a value out of range,
 * or a field that would let a backend do more than was admitted (n_predict, n_cmpl, best_of). `*param` names the field, or is null. */
bool chat_request_read(struct jscan *scanner, struct span body, struct chat_request *out, const char **param, struct err *err) MUST_USE;

#endif
