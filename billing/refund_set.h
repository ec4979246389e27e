/* refund_set.h - which of many refunds count: the rule of refund.h over records in any order. */
#ifndef TOLLGATE_BILLING_REFUND_SET_H
#define TOLLGATE_BILLING_REFUND_SET_H

#include "billing/record.h"
#include "billing/refund.h"

struct refund_entry {
    char request_id[REQUEST_ID_TEXT], op[ID_TEXT], writer[WRITER_TEXT];
    uint64_t n; /* among its writer's records for the account's partition */
    struct period period;
    int64_t at, nanos, charged;
    char *line; /* the whole record; null: it was not kept */
    bool counts;
};
struct refund_set {
    size_t count, cap;
    struct refund_entry *entries;
};
void refund_set_clear(struct refund_set *s);
DEFINE_AUTO_CLEAR(refund_set)
/* Copies `line`, unless its data is null. */
void refund_set_add(struct refund_set *s, const struct refund *r, const struct record_head *head,
                    struct span line);
/* Orders by request id, then as the rule does, and says which count. More may be added afterwards,
 * and it be asked again. */
void refund_set_decide(struct refund_set *s);

#endif
