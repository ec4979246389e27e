/* call_index.h - finds a request id that stands twice among any number of calls, with the memory of
 * sorted_runs.h and 32 bytes of disk a call. */
#ifndef TOLLGATE_BILLING_CALL_INDEX_H
#define TOLLGATE_BILLING_CALL_INDEX_H

#include "billing/event.h"
#include "billing/reasons.h"
#include "billing/record.h"

struct call_index;
/* `dir`: of the scratch file, as scratch_file_new() takes it. */
struct call_index *call_index_new(const char *dir) MUST_USE;
void call_index_free(struct call_index *x);
DEFINE_AUTO(call_index)
/* `request_id` must be valid, `place` the call's. */
bool call_index_add(struct call_index *x, struct span request_id, const char *writer,
                    const struct record_place *place, struct err *err) MUST_USE;
/* A sentence for each pair, naming both. Ends the adding. */
bool call_index_find_twins(struct call_index *x, struct reasons *out, struct err *err) MUST_USE;

#endif
