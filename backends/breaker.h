/* breaker.h - whether a backend is asked at all, judged only by how its calls go: nothing is sent to find out.
 *
 * Closed, calls pass. Some failures in a row open it: for 1 s, doubled with each trial that fails. A refusal with a Retry-After
 * (429, 503) opens it for as long as that says. Afterwards it is half open: one call passes as a trial, another when
 * that takes as long as the pause was, and how they go closes or opens it. There is one for each backend in each worker; the workers judge by themselves. Times are monotonic ms. */
#ifndef TOLLGATE_BACKENDS_BREAKER_H
#define TOLLGATE_BACKENDS_BREAKER_H

#include "backends/kind.h"

#define BREAKER_RETRY_AFTER_MAX_MS INT64_C(600000) /* that is believed */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATES };

struct breaker {
    const char *name;     /* of the backend, for the log; borrowed */
    int64_t failures_max; /* in a row; 0: it stays closed whatever happens */
    int64_t pause_ms_max;

    enum breaker_state state;
    int64_t failures;      /* in a row */
    int64_t pause_ms;      /* the latest one; 0 while all is well */
    int64_t open_until_ms; /* the next trial; unless it is closed */
};

/* One call's part in it; zero when it begins. */
struct breaker_try {
    bool is_trial;
};

void breaker_init(struct breaker *b, const char *name, int64_t failures_max, int64_t pause_ms_max);
/* Else `*wait_ms` is in how long it may be worth asking again. */
bool breaker_admits(const struct breaker *b, int64_t now_ms, int64_t *wait_ms) MUST_USE;
/* A call that was admitted is about to be sent. Each is followed by one breaker_end(). */
void breaker_begin(struct breaker *b, struct breaker_try *t, int64_t now_ms);
/* Its answer has begun, which of a trial is enough to let others follow. */
void breaker_answering(struct breaker *b, const struct breaker_try *t);
/* What was cancelled, or refused for what the caller sent, says nothing against the backend. */
void breaker_end(struct breaker *b, const struct breaker_try *t,
                 const struct backend_result *result, int64_t now_ms);

#endif
