/* funds.h - money of an account that no call moves: what is paid in, and what is put right.
 *
 * {"account","amount","currency","reason","period","at","op"}. An operation id belongs to its account: of all records of
 * one operation, whatever their kind, the first counts, by (at, writer, n). */
#ifndef TOLLGATE_BILLING_FUNDS_H
#define TOLLGATE_BILLING_FUNDS_H

#include "billing/refund.h"

struct funds {
    char account[ID_TEXT];
    char op[ID_TEXT];
    struct money amount; /* not zero; negative: taken from the account */
    char reason[REFUND_REASON_MAX + 1];
    struct period period; /* in which it is booked */
    int64_t at;
};

/* At most FUNDS_BYTES_MAX. */
#define FUNDS_BYTES_MAX 2048
void funds_write(const struct funds *f, struct jw *w);
/* What is accepted is written the same again. */
bool funds_parse(const json_t *object, struct funds *out, struct err *err) MUST_USE;

#endif
