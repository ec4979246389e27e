/* recent.h - looks calls up in Redis's streams of recent events, which hold complete records. */
#ifndef TOLLGATE_GATEWAY_RECENT_H
#define TOLLGATE_GATEWAY_RECENT_H

#include "billing/event.h"
#include "lib/net/redis.h"

/* One call of an account by its request id. A call that ended within the last minute may still be on its way: it is waited for up to 2 s.
 * `line` is the whole record (null: there is no such call); valid during the callback. */
typedef void recent_on_record(void *arg, const struct span *line, const struct err *err);
void recent_find(struct loop *loop, struct redis *redis, const char *account,
                 const char *request_id, recent_on_record *on_record, void *arg);
/* The same without waiting. */
void recent_look(struct loop *loop, struct redis *redis, const char *account,
                 const char *request_id, recent_on_record *on_record, void *arg);

#define RECENT_PAGE_MAX 1000
/* The newest `limit` calls of an account, newest first; `before` (a request id, or null) goes on from an earlier page. */
typedef void recent_on_records(void *arg, const struct span *lines, size_t count, bool has_more,
                               const struct err *err);
void recent_list(struct redis *redis, const char *account, const char *before, size_t limit,
                 recent_on_records *on_records, void *arg);

#endif
