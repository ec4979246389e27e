/* call_request.h - what of a call's body matters to the gateway, found in one pass without a tree. */
#ifndef TOLLGATE_GATEWAY_CALL_REQUEST_H
#define TOLLGATE_GATEWAY_CALL_REQUEST_H

#include "billing/event.h"
#include "gateway/surface.h"
#include "lib/base/jscan.h"

struct call_request {
    enum surface surface;
    struct span body;
    char model[MODEL_TEXT];
    struct span model_value;    /* the JSON value of "model" in body, quotes included */
    bool stream;
    bool usage_wanted;          /* stream_options.include_usage */
    struct span stream_options; /* the value, or null data */
    struct span cap_value;      /* the value of the cap that counts, or null data */
    int64_t cap;                /* 0: neither the caller nor the surface gives one */
    int64_t n;                  /* answers that the cap is multiplied with: choices, of each prompt; ≥ 1 */
};

/* A scanner for all surfaces' fields; one per worker is enough. */
struct jscan *call_request_scanner(void) MUST_USE;
/* Spans point into `body`. ERR_INPUT with a sentence for malformed JSON, a field that matters of the wrong type or given twice, a value out of
 * range, or a field that would let a backend do more than was admitted (n_predict, n_cmpl, best_of). `*param` names the field, or is null. */
bool call_request_read(struct jscan *scanner, enum surface surface, struct span body, struct call_request *out, const char **param,
                       struct err *err) MUST_USE;

#endif
