/* breaker.c - only calls that were sent while it was closed, and the trial, move it: what comes back late from before it opened
 * is old news. */
#include "backends/breaker.h"

#include <inttypes.h>

#include "lib/base/log.h"

#define FIRST_PAUSE_MS INT64_C(1000)

enum verdict { GOOD, BAD, NEITHER };

static enum verdict judge(const struct backend_result *result);
static void count_failure(struct breaker *b, bool is_trial, const struct backend_result *result,
                          int64_t now_ms);
static void open_for(struct breaker *b, int64_t ms, int64_t now_ms);
static void close_again(struct breaker *b);
static int64_t smaller(int64_t a, int64_t b);

void breaker_init(struct breaker *b, const char *name, int64_t failures_max, int64_t pause_ms_max)
{
    *b = (struct breaker){.name = name, .failures_max = failures_max, .pause_ms_max = pause_ms_max};
}

bool breaker_admits(const struct breaker *b, int64_t now_ms, int64_t *wait_ms)
{
    if (b->state == BREAKER_CLOSED)
        return true;
    *wait_ms = b->open_until_ms - now_ms;
    return *wait_ms <= 0;
}

/* An answer may take minutes, so a trial that says nothing is not waited for by all the others. */
void breaker_begin(struct breaker *b, struct breaker_try *t, int64_t now_ms)
{
    *t = (struct breaker_try){.is_trial = b->state != BREAKER_CLOSED};
    if (!t->is_trial)
        return;
    b->state = BREAKER_HALF_OPEN;
    b->open_until_ms = now_ms + (b->pause_ms ? b->pause_ms : FIRST_PAUSE_MS);
}

/* The next failure opens it again, and for longer, until an answer has come to its end. */
void breaker_answering(struct breaker *b, const struct breaker_try *t)
{
    if (!t->is_trial || b->state != BREAKER_HALF_OPEN)
        return;
    close_again(b);
    b->failures = b->failures_max - 1;
}

void breaker_end(struct breaker *b, const struct breaker_try *t,
                 const struct backend_result *result, int64_t now_ms)
{
    bool is_trial = t->is_trial && b->state == BREAKER_HALF_OPEN;
    enum verdict verdict = judge(result);

    if (b->failures_max == 0 || (b->state != BREAKER_CLOSED && !is_trial))
        return;
    if (verdict == BAD) {
        count_failure(b, is_trial, result, now_ms);
    } else if (verdict == GOOD) {
        if (is_trial)
            close_again(b);
        b->failures = 0;
        b->pause_ms = 0;
    } else if (is_trial) { /* it ended without a word: the next call is the trial */
        b->state = BREAKER_OPEN;
        b->open_until_ms = now_ms;
    }
}

/* A refusal of what the caller sent (400, 404, 422 …) is an answer. That our key is no good (401) or our account empty (402)
 * concerns every call. */
static enum verdict judge(const struct backend_result *result)
{
    switch (result->outcome) {
    case BACKEND_COMPLETE:
        return GOOD;
    case BACKEND_BROKEN:
    case BACKEND_TIMED_OUT:
        return BAD;
    case BACKEND_REFUSED:
        return result->status >= 500 || result->status == 429 || result->status == 401 ||
                       result->status == 402
                   ? BAD
                   : GOOD;
    default:
        return NEITHER;
    }
}

static void count_failure(struct breaker *b, bool is_trial, const struct backend_result *result,
                          int64_t now_ms)
{
    bool is_told = result->outcome == BACKEND_REFUSED && result->retry_after_ms > 0 &&
                   (result->status == 429 || result->status == 503);
    int64_t ms;

    if (is_told) {
        ms = smaller(result->retry_after_ms, BREAKER_RETRY_AFTER_MAX_MS);
        log_warn("backend_paused",
                 "backend %s answered %u and asks for %" PRId64
                 " ms: it is left alone for that long",
                 b->name, result->status, ms);
        open_for(b, ms, now_ms);
        return;
    }
    b->failures++;
    if (!is_trial && b->failures < b->failures_max)
        return;
    ms = b->pause_ms ? smaller(2 * b->pause_ms, b->pause_ms_max)
                     : smaller(FIRST_PAUSE_MS, b->pause_ms_max);
    b->pause_ms = ms;
    if (result->outcome == BACKEND_REFUSED)
        log_warn("backend_paused",
                 "backend %s has failed %" PRId64 " times in a row and is left alone for %" PRId64
                 " ms; the last answer was status %u",
                 b->name, b->failures, ms, result->status);
    else
        log_warn("backend_paused",
                 "backend %s has failed %" PRId64 " times in a row and is left alone for %" PRId64
                 " ms; the last time: %s",
                 b->name, b->failures, ms, result->err.text);
    open_for(b, ms, now_ms);
}

static void open_for(struct breaker *b, int64_t ms, int64_t now_ms)
{
    b->state = BREAKER_OPEN;
    b->open_until_ms = now_ms + ms;
}

static void close_again(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    log_info("backend_resumed", "backend %s answers again", b->name);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
