/* event_pass.h - the one pass over a period's events, in their order, that making a bundle and
 * verifying it share. */
#ifndef TOLLGATE_BILLING_EVENT_PASS_H
#define TOLLGATE_BILLING_EVENT_PASS_H

#include "billing/record.h"
#include "billing/tally.h"
#include "billing/terms.h"

struct event_pass {
    struct terms *terms; /* borrowed */
    struct tally tally;
    int64_t last_ended_at;
    char last_request_id[REQUEST_ID_TEXT];
};
/* Borrows the terms, whose period the events must be of. */
void event_pass_init(struct event_pass *p, struct terms *terms);
void event_pass_clear(struct event_pass *p);
DEFINE_AUTO_CLEAR(event_pass)
/* Checks that the line is a whole call record of the period, after the one before, rated by its
 * price and shared by its contract; adds it up. `head` may be null. */
bool event_pass_line(struct event_pass *p, struct span line, struct event *event,
                     struct record_head *head, struct err *err) MUST_USE;

#endif
