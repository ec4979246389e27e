/* wholeness.h - whether Redis has all that the journals have: a list that was read while it has not would lack some, and nobody could tell.
 *
 * It is asked before a list is read and again after, since what was emptied in between has lost its names. */
#ifndef TOLLGATE_GATEWAY_WHOLENESS_H
#define TOLLGATE_GATEWAY_WHOLENESS_H

#include "billing/partition.h"
#include "lib/net/redis.h"

struct wholeness;
/* Of one partition. The caller frees, not while an answer is awaited. */
struct wholeness *wholeness_new(struct redis *redis, struct partition p) MUST_USE;
/* Of the first so many of partition_at(): PARTITIONS, which are those of accounts; PARTITIONS_ALL. Likewise. */
struct wholeness *wholeness_new_first(struct redis *redis, unsigned partitions) MUST_USE;
void wholeness_free(struct wholeness *w);

/* `err` null: each is as the journals have it and, when asked again, at the connection that it was at. Else ERR_UNAVAILABLE, or why
 * nobody knows. May free the asker. */
typedef void wholeness_on_answer(void *arg, const struct err *err);
void wholeness_ask(struct wholeness *w, wholeness_on_answer *on_answer, void *arg);

#endif
