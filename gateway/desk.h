/* desk.h - a change made by an operator: journaled, shipped, and only then answered. */
#ifndef TOLLGATE_GATEWAY_DESK_H
#define TOLLGATE_GATEWAY_DESK_H

#include "gateway/console_state.h"
#include "gateway/service.h"

#define OP_TEXT 65

/* False, having answered 503: the console has no journal to write to. */
bool desk_is_open(const struct console *c, struct http_request *r) MUST_USE;

/* The request's JSON object and its operation id. Answers itself and returns null when either is missing or malformed (400) or the
 * console has no journal to write to (503). */
json_t *desk_body(struct console *c, struct http_request *r, const char **op) MUST_USE;

/* A member that is a decimal amount; absent leaves `*nanos` as it is unless it is required. */
bool desk_amount(const json_t *body, const char *name, bool required, int64_t *nanos,
                 struct err *err) MUST_USE;

/* Why a change is made: 1 to 200 printable bytes. */
bool desk_reason(const char *reason, char *out, size_t size, struct err *err) MUST_USE;

/* Writes the record, waits until Redis has it, then answers with `answer` (status 200). When it was journaled but Redis is away, the answer is
 * 202 and says so: it will be shipped by itself. The request may go away meanwhile. */
void desk_post(struct console *c, struct http_request *r, const struct journal_change *change,
               struct span answer);
/* The same for several records at once (a catalogue): all are queued, then waited for. */
struct desk_batch;
struct desk_batch *desk_batch_new(struct console *c, struct http_request *r) MUST_USE;
bool desk_batch_add(struct desk_batch *b, const struct journal_change *change,
                    struct err *err) MUST_USE;
/* A refund, whose time and period are filled in. */
bool desk_batch_add_refund(struct desk_batch *b, struct refund *r, struct err *err) MUST_USE;
/* Money that no call moves; likewise. */
bool desk_batch_add_funds(struct desk_batch *b, struct funds *f, struct err *err) MUST_USE;
/* Called once all of the batch's records are durable, or none was added; not at the console's end. */
void desk_batch_on_written(struct desk_batch *b, void (*on_written)(void *arg), void *arg);
/* Answers once all is applied; frees the batch. With `err` not null, answers that instead: records already added still stand. */
void desk_batch_end(struct desk_batch *b, struct span answer, const struct err *err);
/* At the console's end: what still waits is dropped; its records are durable and will be shipped. */
void desk_close(struct console *c);

#endif
