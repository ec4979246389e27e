/* funds.h - money of an account that no call moves: what is paid in, what is put right, and grants, which are spent before
 * paid money and end at a time.
 *
 * {"account","amount","currency","reason","period","at","op"}; of a grant then "expires_at" and "spent": what the account's
 * calls had cost in all when it was decided. An operation id belongs to its account: of all records of one operation,
 * whatever their kind, the first counts, by (at, writer, n).
 *
 * An expiry takes back what is unspent of a grant, in one step or, while open calls hold some of it, in several. Its `op`
 * is the grant's; "spent" as above, then "taken": what earlier steps took, and "left": what is to be taken yet. Of the
 * steps that begin where the same amount was taken the first counts, and those that begin where a step that counts has
 * ended: what is taken follows from the set of records alone. */
#ifndef TOLLGATE_BILLING_FUNDS_H
#define TOLLGATE_BILLING_FUNDS_H

#include "billing/record.h"
#include "billing/refund.h"

struct funds {
    enum record_kind kind; /* RECORD_CREDIT, _ADJUST, _GRANT or _EXPIRY */
    char account[ID_TEXT];
    char op[ID_TEXT];
    struct money amount; /* not zero, but for an expiry; negative of a credit or an adjustment: taken from the account */
    char reason[REFUND_REASON_MAX + 1];
    struct period period; /* in which it is booked */
    int64_t at;
    int64_t expires_at;  /* of a grant */
    int64_t spent;       /* of a grant and an expiry */
    int64_t taken, left; /* of an expiry */
};

bool funds_kind_is_known(const char *name); /* as record_kind_name() names one of them */

/* At most FUNDS_BYTES_MAX. */
#define FUNDS_BYTES_MAX 2048
void funds_write(const struct funds *f, struct jw *w);
/* Of a record of that kind. What is accepted is written the same again. */
bool funds_parse(enum record_kind kind, const json_t *object, struct funds *out,
                 struct err *err) MUST_USE;

#endif
