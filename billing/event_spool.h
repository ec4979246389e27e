/* event_spool.h - a period's events, put in as they are found and taken out in the order of
 * settlement: by ended_at, then request id. The lines stand in a scratch file, with 40 bytes more
 * for each; memory is that of sorted_runs.h, however many they are. */
#ifndef TOLLGATE_BILLING_EVENT_SPOOL_H
#define TOLLGATE_BILLING_EVENT_SPOOL_H

#include "billing/event.h"

struct event_spool;
/* `dir` as scratch_file_new() takes it. */
struct event_spool *event_spool_new(const char *dir, struct err *err) MUST_USE;
void event_spool_free(struct event_spool *s);
DEFINE_AUTO(event_spool)
bool event_spool_add(struct event_spool *s, const struct event *e, struct span line,
                     struct err *err) MUST_USE;
/* Ends the adding and starts (again) at the first. */
bool event_spool_start(struct event_spool *s, struct err *err) MUST_USE;
/* 1: a line, valid until the next call; 0: no more; -1: the file cannot be read. */
int event_spool_next(struct event_spool *s, struct span *line, struct err *err) MUST_USE;

/* The order of settlement: below, at or above zero. */
int event_order(int64_t ended_a, const char *request_a, int64_t ended_b, const char *request_b);

#endif
