/* journal_state.h - what a writer's records add up to: heads, the totals of its present period, its time, its open
 * calls. The live writer and recovery reduce records by this same code, so they cannot disagree. */
#ifndef TOLLGATE_BILLING_JOURNAL_STATE_H
#define TOLLGATE_BILLING_JOURNAL_STATE_H

#include "billing/open_calls.h"
#include "billing/record.h"
#include "billing/segment.h"

/* What one record does to its writer's state. */
struct record_effect {
    enum record_kind kind;
    uint32_t crc;
    int64_t at;                       /* the record's own time */
    struct record_place place;        /* of numbered kinds */
    struct money amount;              /* of a call or a refund */
    struct period period;             /* of a seal: the period that it ends */
    char request_id[REQUEST_ID_TEXT]; /* of call, begin, progress */
};
bool record_effect_parse(struct span line, uint32_t crc, struct record_effect *out,
                         struct err *err) MUST_USE;

struct journal_state {
    struct record_heads heads;
    struct writer_totals totals;
    int64_t at; /* the latest time that a record states */
    struct open_calls *open;
};

/* As the header says, with no call open. */
void journal_state_init(struct journal_state *s, const struct segment_header *h);
void journal_state_clear(struct journal_state *s);
DEFINE_AUTO_CLEAR(journal_state)
/* The next record, at `position`. `line` is kept for open calls (see open_calls.h). ERR_CORRUPT when it
 * cannot follow; the state is then of no further use. */
bool journal_state_apply(struct journal_state *s, const struct record_effect *e, uint64_t position,
                         struct span line, struct err *err) MUST_USE;
/* The same for open calls and time alone: of records that the heads and totals have already. */
void journal_state_track(struct journal_state *s, const struct record_effect *e, uint64_t position,
                         struct span line);

#endif
