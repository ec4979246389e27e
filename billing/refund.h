/* refund.h - money given back of one call, in whole or in part.
 *
 * {"request_id","op","account","model","creators":[{"id","weight"}],"price","contract","share_bp",
 * "charged","currency","amount","reason","orig_period","period","at"}: what is said of the call is
 * the call's own; `charged` is its amount. An operation id belongs to its call: of all records with
 * one request id and op only the first counts, by (period, at, writer, n).
 *
 * Of a call's refunds, taken in that order, those count that its price still covers. Which these
 * are follows from the set of records alone, however they arrived. */
#ifndef TOLLGATE_BILLING_REFUND_H
#define TOLLGATE_BILLING_REFUND_H

#include "billing/event.h"

#define REFUND_REASON_MAX 200

struct refund {
    char request_id[REQUEST_ID_TEXT];
    char op[ID_TEXT];
    char account[ID_TEXT];
    char model[MODEL_TEXT];
    size_t owner_count;
    struct owner owners[OWNERS_MAX]; /* as the event has them */
    char price[VERSION_TEXT];
    char contract[VERSION_TEXT];
    int64_t share_bp;
    int64_t charged;     /* the event's amount */
    struct money amount; /* > 0, ≤ charged */
    char reason[REFUND_REASON_MAX + 1];
    struct period orig_period; /* the event's period: whose split is restated */
    struct period period;      /* in which it is booked: not before orig_period */
    int64_t at;
};

/* Printable, not only blanks, at most REFUND_REASON_MAX bytes: it is shown on one line. */
bool refund_reason_is_valid(struct span reason);
/* All that is the call's; operation, amount, reason and times are the caller's to fill in. */
void refund_of_event(const struct event *e, struct refund *out);
/* At most EVENT_BYTES_MAX. */
void refund_write(const struct refund *r, struct jw *w);
/* As strict as event_parse(): what is accepted is written the same again. */
bool refund_parse(const json_t *object, struct refund *out, struct err *err) MUST_USE;

#endif
