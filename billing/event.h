/* event.h - one metered fact: a call that ended, who pays, who earns, what was used, what it costs.
 * Versions named here (price, contract, owners) are authoritative for ever. */
#ifndef TOLLGATE_BILLING_EVENT_H
#define TOLLGATE_BILLING_EVENT_H

#include "billing/money.h"
#include "billing/period.h"
#include "billing/price.h"
#include "billing/unit.h"
#include "lib/base/json.h"

#define REQUEST_ID_TEXT   40
#define ID_TEXT           65
#define MODEL_TEXT        130 /* creator/name */
#define KEY_ID_PUBLIC     13
#define OWNERS_MAX        16
#define OWNER_WEIGHTS_MAX (INT64_C(1) << 62) /* what a split takes */

enum outcome {
    OUTCOME_COMPLETE,
    OUTCOME_CLIENT_CLOSED,
    OUTCOME_UPSTREAM_ERROR,
    OUTCOME_TIMEOUT,
    OUTCOME_KILLED,
    OUTCOME_LIMIT,
    OUTCOME_VOID
};
const char *outcome_name(
    enum outcome o); /* complete, client_closed, upstream_error, timeout, killed, limit, void */
bool outcome_parse(struct span word, enum outcome *out) MUST_USE;

struct owner {
    char id[ID_TEXT];
    int64_t weight;
};

/* Of a call that carried an Idempotency-Key: keyed digests of that and of the request, 32 hex digits each; "" when it
 * carried none. Who lacks the installation's pepper can neither test a guess of the body nor of the key. */
#define DIGEST_TEXT 33
struct idempotency {
    char key[DIGEST_TEXT], body[DIGEST_TEXT];
};

struct event {
    char request_id[REQUEST_ID_TEXT];
    char account[ID_TEXT];
    char key[KEY_ID_PUBLIC]; /* public id */
    char first_key[KEY_ID_PUBLIC]; /* which it descends from by rotation; "": itself */
    size_t owner_count;
    struct owner owners[OWNERS_MAX]; /* ordered by id; weights ≥ 1, their sum ≤ OWNER_WEIGHTS_MAX */
    char model[MODEL_TEXT];
    char backend[ID_TEXT];
    char price[VERSION_TEXT];    /* id@from */
    char contract[VERSION_TEXT]; /* the first owner's contract: creator@from */
    int64_t share_bp;            /* of that contract */
    struct used used;
    struct money amount;
    enum outcome outcome;
    int64_t started_at, ended_at;
    struct period period, orig_period; /* equal unless booked late */
    struct idempotency idempotency;
    char began_on[DAY_TEXT]; /* "2026-11-22", on whose day and in whose month budgets count it, of an account that had a zone of its own then; "": the platform's day of started_at */
};
/* A date that there is, and one that it can be somewhere at `started_at`. */
bool began_on_is_valid(struct span day, int64_t started_at);

/* The members of a "call" record as one JSON object, in the order of the design's `usage list`
 * line, then contract and share_bp, then "idempotency" {key, body} of a call that carried one, then "first_key" of a
 * key that replaced another: rates and budgets of both are one; then "began_on", where there is one. Times are written to the millisecond: settlement sorts by these. */
void event_write(const struct event *e, struct jw *w);
/* The same members, of an object that the caller has begun. */
void event_write_members(const struct event *e, struct jw *w);
/* From a parsed record or usage line (the members of a record's head may stand beside the event's,
 * no others). Every member is checked: ids, spelling of decimals and times, owners' order, the
 * contract being the first owner's, orig_period being that of ended_at, period not before it.
 * `backend` may be empty: none was chosen. What is accepted is written the same again. */
bool event_parse(const json_t *object, struct event *out, struct err *err) MUST_USE;
/* An upper bound of event_write()'s bytes: what the journal reserves for an END. */
#define EVENT_BYTES_MAX 8192

/* "req_" and 32 hexadecimal digits: 48 bits of milliseconds, 80 of chance (as UUIDv7 orders
 * them). */
void request_id_make(char out[REQUEST_ID_TEXT]);
bool request_id_is_valid(struct span id);
/* When a valid one was made, in milliseconds since 1970. */
int64_t request_id_ms(const char *id);

#endif
