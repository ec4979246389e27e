/* earning_row.h - a sum of a model under one set of terms, as Redis's fields name it, and one
 * creator's share of such a sum. */
#ifndef TOLLGATE_GATEWAY_EARNING_ROW_H
#define TOLLGATE_GATEWAY_EARNING_ROW_H

#include "billing/parties.h"

struct earning_row {
    char
        terms[PARTIES_TEXT]; /* "model currency contract share_bp owners": what is split together */
    char model[MODEL_TEXT], currency[CURRENCY_TEXT];
    char day[DAY_TEXT];         /* of what was sold; "" of what was given back */
    struct period period, orig; /* of what was given back: when it was booked, and of which calls */
    int64_t share_bp;
    size_t owner_count;
    struct owner owners[OWNERS_MAX];
    int64_t calls, nanos;
};
/* "model day currency contract share_bp owners", a field of gross:<period>; *counts: it ended with
 * " calls". */
bool earning_row_parse_sold(struct span field, struct earning_row *out, bool *counts) MUST_USE;
/* "period orig_period model currency contract share_bp owners", a field of refunded; *counts: it
 * ended with " count". */
bool earning_row_parse_returned(struct span field, struct earning_row *out, bool *counts) MUST_USE;
bool earning_row_is_of(const struct earning_row *row, const char *creator);
/* The creator's part of so much, as the settlement splits it. */
int64_t earning_row_share(const struct earning_row *row, int64_t nanos, const char *creator);

#endif
