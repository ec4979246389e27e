/* call_index.h - finds a request id that stands twice: 32 bytes a call, whatever its size. */
#ifndef TOLLGATE_BILLING_CALL_INDEX_H
#define TOLLGATE_BILLING_CALL_INDEX_H

#include "billing/event.h"
#include "billing/reasons.h"
#include "billing/record.h"

struct call_index;
struct call_index *call_index_new(void) MUST_USE;
void call_index_free(struct call_index *x);
DEFINE_AUTO(call_index)
/* `request_id` must be valid, `place` the call's. */
void call_index_add(struct call_index *x, struct span request_id, const char *writer,
                    const struct record_place *place);
/* A sentence for each pair, naming both. Orders what was added. */
void call_index_find_twins(struct call_index *x, struct reasons *out);

#endif
