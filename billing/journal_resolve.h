/* journal_resolve.h - what a writer still owes when its last process is gone: an END for every call that is open, a SEAL for
 * every period that is over. */
#ifndef TOLLGATE_BILLING_JOURNAL_RESOLVE_H
#define TOLLGATE_BILLING_JOURNAL_RESOLVE_H

#include "billing/journal_log.h"

/* Everything it writes is durable when it returns. Open calls must have their lines (open_calls.h). */
bool journal_resolve(struct journal_log *log, int64_t now, struct err *err) MUST_USE;

#endif
