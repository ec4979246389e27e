/* fact_list.h - a period's facts, put in as they are found and taken out in the order of settlement:
 * its events by ended_at and request id, then the refunds that count by the time at which they were
 * booked, request id and operation. Events stand in a scratch file, refunds in memory. */
#ifndef TOLLGATE_BILLING_FACT_LIST_H
#define TOLLGATE_BILLING_FACT_LIST_H

#include "billing/event_spool.h"
#include "billing/refund_set.h"

struct fact_list {
    struct period period;
    struct event_spool *spool; /* null: events are not kept */
    struct refund_set refunds; /* of all periods up to this one */
    struct refund_entry **due; /* those of the period that count, in order; owned */
    size_t due_count, next;
    bool is_past_events;
};
/* `spool_dir` as scratch_file_new() takes it. */
bool fact_list_init(struct fact_list *f, struct period period, bool keeps_events,
                    const char *spool_dir, struct err *err) MUST_USE;
void fact_list_clear(struct fact_list *f);
DEFINE_AUTO_CLEAR(fact_list)
bool fact_list_add_event(struct fact_list *f, const struct event *e, struct span line,
                         struct err *err) MUST_USE;
/* One of any period up to the list's own. */
void fact_list_add_refund(struct fact_list *f, const struct refund *r,
                          const struct record_head *head, struct span line);
/* Decides which refunds count; none may be added afterwards. */
void fact_list_decide(struct fact_list *f);
/* After fact_list_decide(): ends the adding and starts (again) at the first. */
bool fact_list_start(struct fact_list *f, struct err *err) MUST_USE;
/* 1: a line, valid until the next call; 0: no more; -1: the scratch file cannot be read. */
int fact_list_next(struct fact_list *f, struct span *line, struct err *err) MUST_USE;

#endif
