/* notifier.h - soft limits: looks at what accounts with webhooks have spent, records a notice for each threshold that was
 * crossed, and delivers what was recorded. Calls cost nothing for it: it only reads the sums that they leave.
 *
 * Every `webhook_look` it asks for one sum of each such account, and looks closer where that has moved, and at all of them every
 * twelfth time. Of several consoles one does this: who holds `tg:{a00}:notifier`, for 15 s at a time. Should two, a notice's id
 * is the same whoever raises it, and counts once. */
#ifndef TOLLGATE_GATEWAY_NOTIFIER_H
#define TOLLGATE_GATEWAY_NOTIFIER_H

#include "gateway/console_state.h"
#include "gateway/notice_queue.h"

struct notifier;
/* `names`: where names are looked up. `seat` may be null. */
struct notifier *notifier_new(struct console *c, const struct addr *names, struct seat *seat,
                              struct err *err) MUST_USE;
/* Before the ledger is closed: nothing more is sent. Runs the loop until what was under way has ended. */
void notifier_stop(struct notifier *n);
/* After it was. */
void notifier_free(struct notifier *n);

struct webhook_road *notifier_road(struct notifier *n);
const struct notice_queue *notifier_queue(const struct notifier *n);

#endif
