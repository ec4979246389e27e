/* meter.h - where a provider's usage becomes a billing event: the one file that knows both sides. */
#ifndef TOLLGATE_GATEWAY_METER_H
#define TOLLGATE_GATEWAY_METER_H

#include "backends/usage.h"
#include "billing/event.h"
#include "gateway/catalogue.h"

/* The event as far as it is known when a call begins: who, what, which versions; nothing used, amount zero, outcome void.
 * ERR_NOT_FOUND when no price or contract is in force at `at`. */
struct meter_subject {
    const char *request_id, *account, *key;
    const struct model *model;
};
bool meter_begin(const struct catalogue *catalogue, const struct meter_subject *subject, int64_t at, struct event *out,
                 const struct price **price, struct err *err) MUST_USE;

/* What the call can cost at most: its hold. */
bool meter_worst_case(const struct price *price, int64_t body_bytes, int64_t output_cap, int64_t choices, int64_t *amount_nanos,
                      struct err *err) MUST_USE;

/* Sets used and amount from what the provider stated. Never fails for a published model; an unpriced bucket is ERR_INPUT. */
bool meter_whole(struct event *e, const struct price *price, const struct usage *usage, struct err *err) MUST_USE;
/* The same for a stream cut short: its input, and `handed` content chunks as output, whatever else the provider produced. The input is the provider's number if
 * it stated one, else body bytes / 4. */
bool meter_cut(struct event *e, const struct price *price, const struct usage *usage, int64_t body_bytes, int64_t handed, struct err *err) MUST_USE;
/* Nothing is owed. */
void meter_nothing(struct event *e);

/* How many content chunks were handed to the client, from the byte offsets at which they ended: O(1) memory, never too many. */
#define METER_MARKS 64
struct meter_marks {
    size_t first, count;
    int64_t handed; /* of marks already passed */
    struct {
        uint64_t offset; /* in the answer's payload */
        int64_t content; /* total up to here */
    } mark[METER_MARKS];
};
void meter_mark(struct meter_marks *m, uint64_t offset, int64_t content_total);
int64_t meter_handed(struct meter_marks *m, uint64_t taken);

#endif
