/* event_pass.h - the one pass over a period's events and refunds, in their order, that making a
 * bundle and verifying it share. */
#ifndef TOLLGATE_BILLING_EVENT_PASS_H
#define TOLLGATE_BILLING_EVENT_PASS_H

#include "billing/record.h"
#include "billing/refund_set.h"
#include "billing/tally.h"
#include "billing/terms.h"

struct event_pass {
    struct terms *terms; /* borrowed */
    struct tally tally;
    struct refund_set refunds; /* without their records */
    int64_t last_ended_at;     /* of the last event, or when the last refund was booked */
    char last_request_id[REQUEST_ID_TEXT], last_op[ID_TEXT]; /* op: "" of an event */
};
/* Borrows the terms, whose period events and refunds must be of. */
void event_pass_init(struct event_pass *p, struct terms *terms);
void event_pass_clear(struct event_pass *p);
DEFINE_AUTO_CLEAR(event_pass)

/* What a line turned out to be. */
struct pass_line {
    struct record_head head; /* of kind RECORD_CALL or RECORD_REFUND */
    const char *request_id;  /* of the event or refund */
    struct money amount;
    struct event event;
    struct refund refund;
};
/* Checks that the line is a whole call or refund record of the period, after the one before (all
 * events, then all refunds), rated by its price, shared by its contract; adds it up. */
bool event_pass_line(struct event_pass *p, struct span line, struct pass_line *out,
                     struct err *err) MUST_USE;
/* After the last line: ERR_CORRUPT when an operation stands there twice, or refunds of one call
 * pass its amount. */
bool event_pass_end(struct event_pass *p, struct err *err) MUST_USE;

#endif
