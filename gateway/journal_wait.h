/* journal_wait.h - waiting until what stands in this host's journals now has come to where it must be. */
#ifndef TOLLGATE_GATEWAY_JOURNAL_WAIT_H
#define TOLLGATE_GATEWAY_JOURNAL_WAIT_H

#include "gateway/console_state.h"
#include "gateway/journal_report.h"

/* `report`: what was waited for; null when the time was over before, and then `missing` is a sentence. */
typedef void journal_wait_on_end(void *arg, const struct journal_report *report,
                                 const char *missing);
/* Until free directories were visited and Redis has applied all that was written by then; with `seal`, until all of it is
 * sealed and archived, too. What is written meanwhile is not waited for, so that it ends under load as well. Ends once,
 * never inside this call. */
void journal_wait(struct console *c, bool seal, int64_t timeout_ms, journal_wait_on_end *on_end,
                  void *arg);

#endif
