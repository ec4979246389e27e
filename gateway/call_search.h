/* call_search.h - a call by its request id alone, whichever account's it is: for the operator. */
#ifndef TOLLGATE_GATEWAY_CALL_SEARCH_H
#define TOLLGATE_GATEWAY_CALL_SEARCH_H

#include "gateway/recent.h"

/* As recent_look(), over all accounts. */
void call_search(struct loop *loop, struct redis *redis, const char *request_id,
                 recent_on_record *on_record, void *arg);

#endif
