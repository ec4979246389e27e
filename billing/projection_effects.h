/* projection_effects.h - what a record does to each of its partitions, read from its line in one walk and written as
 * the keys and fields that the apply scripts take. */
#ifndef TOLLGATE_BILLING_PROJECTION_EFFECTS_H
#define TOLLGATE_BILLING_PROJECTION_EFFECTS_H

#include "billing/projection_batch.h"

struct effects;
struct effects *effects_new(void) MUST_USE;
void effects_free(struct effects *e);
DEFINE_AUTO(effects)

/* Keeps `line` until the next call. What cannot be read will be booked as suspense: the cursor must move. Of an archived
 * record `recent_since` says from which time on (nanos) it still belongs into the streams; of others it is 0. */
void effects_read(struct effects *e, const struct record_head *head, struct span line, uint32_t crc,
                  int64_t recent_since);
/* Adds the record that was read last to a batch of one of its partitions. */
void effects_add(struct effects *e, struct batch *b);

#endif
