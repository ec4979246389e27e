/* board.h - what the processes of a server count, in memory that they share: each writes in a seat
 * of its own, and the console adds the seats up for /metrics.
 *
 * A process that starts takes a seat that nobody sits in and goes on from what stands there, so sums
 * never fall, whoever dies; what is only true of a living process is set to zero. */
#ifndef TOLLGATE_GATEWAY_BOARD_H
#define TOLLGATE_GATEWAY_BOARD_H

#include "billing/event.h"
#include "gateway/problem.h"
#include "lib/base/metric.h"

#define BOARD_MODELS   256 /* further ones of a process are counted together, without a name */
#define BOARD_OUTCOMES (OUTCOME_VOID + 1)
#define BOARD_UNITS    24
#define BOARD_STATUSES 500 /* 100 to 599 */
#define BOARD_BACKENDS 64  /* of further ones no breaker is shown */

struct board_model {
    struct metric is_named; /* 1: name and currency are written and stay */
    char name[MODEL_TEXT];
    char currency[CURRENCY_TEXT];
    struct metric calls[BOARD_OUTCOMES];
    struct metric units[BOARD_UNITS]; /* by unit_at() */
    struct metric amount_nanos;
    struct histogram first_byte, whole;
};

/* How the process that sits here judges a backend. */
struct board_breaker {
    struct metric is_named; /* 1: the name is written */
    char name[ID_TEXT];
    struct metric state; /* enum breaker_state */
};

struct seat {
    _Atomic int pid; /* 0: nobody has sat here */
    /* of the process that sits here */
    struct metric is_worker, is_ready, open_calls, connections, unshipped, webhooks_pending;
    struct metric open_holds;
    struct metric unsealed_since; /* nanos: its journal's oldest record that no sealed segment has; 0: none */
    struct board_breaker breakers[BOARD_BACKENDS];
    /* since the server started */
    struct metric responses[BOARD_STATUSES];
    struct metric refusals[PROBLEM_COUNT];
    struct metric unlogged; /* lines of the access log that were dropped */
    struct metric reloads, reloads_refused;
    struct metric webhooks_delivered, webhooks_failed, webhooks_given_up;
    struct histogram admits, syncs;
    struct board_model models[BOARD_MODELS];
    struct board_model others;
};

struct board; /* mapped; shared by all that are forked after it was made */
struct board *board_new(size_t seats, struct err *err) MUST_USE;
void board_free(struct board *b);
DEFINE_AUTO(board)
/* For the calling process, until its end. When all are taken, and only then, one
 * that somebody sits in. */
struct seat *board_sit(struct board *b);
/* The n-th backend of its config; beyond BOARD_BACKENDS nothing is shown. */
void board_show_breaker(struct seat *seat, size_t n, const char *name, unsigned state);
/* Rows of a model stay where they are: a caller may keep the pointer. */
struct board_model *board_model(struct seat *seat, const char *model, const char *currency);

/* The oldest record of all living processes that no sealed segment has; 0: none. */
int64_t board_unsealed_since(const struct board *b);
size_t board_seats(const struct board *b);
const struct seat *board_seat(const struct board *b, size_t i);
bool seat_is_live(const struct seat *seat);

#endif
