/* statement.h - what each creator earned in a period, in each currency, and what is paid of it.
 *
 * opening + earned - refunds + adjustments - tax - payout = closing. The split is made once per
 * party (tally.h) on its total: `earned` is the split of what this period's calls came to.
 * `refunds` restate: for each party whose net changed, in this period or an earlier one, the split
 * of the net before less the split of the net after. So over all closes a creator's earned less
 * refunds of a party is the split of its final net, to the nano; a single refund may differ by a
 * nano from its own split, even in its sign.
 * A statement's gross is the creator's part of what clients paid, by weight, so that all
 * statements' gross add up to all events; adjustments and tax are zero: nothing gives rise to them
 * yet. */
#ifndef TOLLGATE_BILLING_STATEMENT_H
#define TOLLGATE_BILLING_STATEMENT_H

#include "billing/books.h"
#include "billing/tally.h"
#include "billing/terms.h"

#define STATEMENT_NUMBER_TEXT 32
#define PREVIEW_NUMBER        "preview"

struct statement { /* numbered in the order of (creator, currency) */
    char number[STATEMENT_NUMBER_TEXT]; /* 2026-11-000001, without gaps; or "preview" */
    char creator[ID_TEXT];
    char currency[CURRENCY_TEXT];
    int64_t opening, gross, refunds, earned, adjustments, tax, payout, closing;
};
struct statement_line { /* one creator's part of one party */
    size_t statement;
    const struct party *party;
    const struct owner *owner;
    int64_t gross, earned;     /* what is left of gross is the platform's */
    int64_t refunded, refunds; /* likewise: what clients got back, what of it is the creator's */
    int128 net;                /* the party's, after all corrections so far */
};
struct statements {
    struct period period;
    size_t count, line_count;
    struct statement *rows;       /* by creator, then currency */
    struct statement_line *lines; /* by statement, then party */
    struct sum_table *platform_refunds; /* currency → what of the refunds the platform bears */
    struct books *books;
};
/* Borrows the sorted tally, which must outlive it. ERR_LIMIT when a sum is beyond int64, ERR_CORRUPT
 * when the terms do not state a prior net that is needed, or one that is less than its refunds. */
bool statements_make(struct tally *t, const struct terms *terms, bool is_preview,
                     struct statements *out, struct err *err) MUST_USE;
void statements_clear(struct statements *s);
DEFINE_AUTO_CLEAR(statements)

#endif
