/* open_calls.h - calls that have a BEGIN and no END yet, in the order of their BEGINs: found by request id, and the
 * oldest at once, since that is how far back recovery has to read. */
#ifndef TOLLGATE_BILLING_OPEN_CALLS_H
#define TOLLGATE_BILLING_OPEN_CALLS_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct open_calls;
struct open_calls *open_calls_new(void) MUST_USE;
void open_calls_free(struct open_calls *o);
DEFINE_AUTO(open_calls)

/* `line` is what is known of the call, copied; empty where nobody will ask. A second BEGIN of one id moves it. */
void open_calls_begin(struct open_calls *o, const char *request_id, uint64_t position,
                      struct span line);
/* Replaces the line of a call that is open; else nothing. */
void open_calls_progress(struct open_calls *o, const char *request_id, struct span line);
void open_calls_end(struct open_calls *o, const char *request_id);

/* Where the oldest has its BEGIN; `position` itself when none is open. */
uint64_t open_calls_oldest(const struct open_calls *o, uint64_t position);
/* Calls back with every line, oldest first, until it answers false; what it answered last. */
bool open_calls_each(const struct open_calls *o, bool (*on_call)(void *arg, struct span line),
                     void *arg) MUST_USE;

#endif
