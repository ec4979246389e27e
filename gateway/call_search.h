/* call_search.h - a call by its request id alone, whichever account's it is: for the operator. */
#ifndef TOLLGATE_GATEWAY_CALL_SEARCH_H
#define TOLLGATE_GATEWAY_CALL_SEARCH_H

#include "gateway/history.h"

/* As history_find() without patience, over all accounts. */
void call_search(const struct history *h, const char *request_id, recent_on_record *on_record,
                 void *arg);

#endif
