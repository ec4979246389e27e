/* journal_show.h - which writers there are, on all hosts. */
#ifndef TOLLGATE_GATEWAY_JOURNAL_SHOW_H
#define TOLLGATE_GATEWAY_JOURNAL_SHOW_H

#include "gateway/console_state.h"
#include "gateway/route.h"

/* {"data":[{"writer","where":here|elsewhere|silent,"first_period","archived" (segments),"heard_at" (absent: never),
 * and of a directory of this host the members of journal_entry_write()}]}. Silent: nothing was heard for a minute; it may be retired after half of that. */
void journal_get(void *server, struct http_request *r, const struct route_match *match);

#endif
