/* seal.h - a SEAL: what one writer did in one period, written at its end. {"kind":"seal","writer",
 * "period","at","records","events","sums":{"CNY":"…"},"heads":{"a17":[n,"crc"],…}} */
#ifndef TOLLGATE_BILLING_SEAL_H
#define TOLLGATE_BILLING_SEAL_H

#include "billing/record.h"
#include "billing/segment.h"

struct seal {
    char writer[WRITER_TEXT];
    int64_t at;
    struct writer_totals totals;
    struct record_heads heads; /* cumulative, at the period's end */
};
/* The body only: record_compose() adds kind and writer. */
bool seal_write(const struct seal *s, struct buf *json_body);
bool seal_parse(struct span line, struct seal *out, struct err *err) MUST_USE;

#endif
