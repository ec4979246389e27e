/* projection_state.h - what the parts of the projection share. projection.c decides; the parts ask Redis: for cursors
 * (projection_cursors), whether a partition admits (projection_report), and to apply (projection_ship). */
#ifndef TOLLGATE_BILLING_PROJECTION_STATE_H
#define TOLLGATE_BILLING_PROJECTION_STATE_H

#include "billing/archive.h"
#include "billing/partition_server.h"
#include "billing/projection.h"
#include "billing/projection_batch.h"
#include "billing/projection_effects.h"

/* One partition, as this writer sees it. */
struct lane {
    struct partition partition;
    struct record_cursor applied; /* what Redis last said */
    struct record_cursor
        found;             /* the cursor as read on this connection: record n must have that CRC */
    uint64_t sent;         /* the last record given to a batch */
    struct batch *filling; /* null: nothing to send */
    bool in_flight;        /* a batch is: the next one waits, and fills */
    bool parked;
    uint64_t term; /* of the connection to its server under which its cursor was read */
    bool is_away;  /* its server is, or did not do what was asked: the others go on without it */
    bool admits;   /* under the present run of Redis, as far as this writer knows */
    bool is_due;   /* for a report */
};

/* A command on its way. Its answer may come after the projection is gone, or has begun anew. */
struct request {
    struct projection *p; /* null: gone */
    struct request *next, **link;
    uint64_t generation;
    struct lane *lane;
    struct batch *batch;
    uint64_t claim; /* the record that Redis was told it must have */
    uint64_t known; /* what had been applied when this was sent */
};

/* One question about each of some lanes, at most WALK_WIDTH of them at a time. */
struct walk {
    bool is_running;
    bool is_check; /* cursors: compare only */
    bool again;    /* reports: more was wanted meanwhile */
    unsigned next, pending;
};
#define WALK_WIDTH 16

#define TOKEN_TEXT 9

enum stage {
    STAGE_AWAY,     /* Redis is, or we rest after a failure */
    STAGE_READING,  /* cursors */
    STAGE_SHIPPING, /* replaying what is missing, then what becomes durable */
    STAGE_STOPPED,  /* for ever */
};

struct waiter {
    struct record_heads target;
    void (*on_current)(void *);
    void *arg;
    struct waiter *next;
};

struct projection {
    struct loop *loop;
    struct redis *redis;
    struct journal *journal; /* null: only the archive is left */
    char writer[WRITER_TEXT];
    struct record_heads archived;   /* of what was read by now: all there is without a journal */
    bool archive_is_read;           /* likewise: there is no more */
    struct record_heads in_archive; /* the archive's, if Redis lacked something */
    bool has_history;               /* records were ever written, by whatever writer */
    char *installation, *archive;
    size_t batch_records, batches_max;
    int64_t recent_ms;
    struct projection_handlers handlers;
    void *arg;

    enum stage stage;
    uint64_t generation; /* of the cursors read: what was asked before has no meaning now */
    struct lane lanes[PARTITIONS_ALL];
    struct request *requests;
    struct walk cursors, reports;
    struct timer *tick;
    unsigned ticks, rest_ticks;
    int64_t ticked_ms;          /* monotonic */
    char token[TOKEN_TEXT];     /* what it came under when the cursors were read */
    struct record_heads target; /* what was durable when the cursors were read: the replay */
    bool is_replayed, holds_are_back, has_reported, is_recovered;
    bool has_admitted; /* it was recovered before: calls may have holds */
    struct waiter *waiters;
    struct turn_end check_waiters;

    struct turn_end pump;
    struct effects *effects;
    struct archive_reader *reader; /* before the tail, when the journal no longer has it all */
    bool is_in_file;               /* the reader is, and the file is needed */
    struct journal_tail *tail;
    size_t batches_in_flight, full_lanes;
    struct timer *rest; /* runs between two rounds of sending: meanwhile batches gather */
    bool is_resting;
    unsigned first_lane; /* where sending goes on, so that no partition waits for ever */
    struct batch **spare;
    size_t spare_count;
    struct projection_counts counts;
};

static inline struct record_cursor lane_cursor(const struct lane *l,
                                               const struct record_heads *heads)
{
    return heads->at[l->partition.side][l->partition.index];
}

/* Of what may be shipped. */
static inline const struct record_heads *projection_heads(const struct projection *p)
{
    return p->journal ? journal_heads(p->journal) : &p->archived;
}

/* The process stood still for a while: until the next tick has found out what happened meanwhile, nothing is sent. */
bool projection_has_slept(const struct projection *p);

struct request *request_new(struct projection *p, struct lane *l);
/* Ends the request; the projection if its answer still means something, else null. */
struct projection *request_end(struct request *r);

/* The state machine's events, projection.c. */
void projection_cursors_read(struct projection *p);
void projection_progress(struct projection *p);         /* some lane was applied further */
void projection_archive_was_read(struct projection *p); /* of a writer without a journal */
void projection_all_reported(struct projection *p);     /* a round of reports was answered */
/* Begins anew from Redis's cursors, after a rest. */
void projection_restart(struct projection *p, const char *why);
/* One partition's server is away, or did not do what was asked. */
void projection_leave(struct projection *p, struct lane *l, const char *why);
/* A contradiction that only an operator can resolve. */
void projection_stop(struct projection *p, const struct err *err);
/* The writer was retired: a partition said so. */
void projection_stop_retired(struct projection *p);

#endif
