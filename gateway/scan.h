/* scan.h - the names of all accounts, or keys, that Redis has: for lists that a person asked for (never on a call's path). */
#ifndef TOLLGATE_GATEWAY_SCAN_H
#define TOLLGATE_GATEWAY_SCAN_H

#include "lib/base/buf.h"
#include "lib/net/redis.h"

#define SCAN_NAMES_MAX 100000

/* `names` sorted, without duplicates, what follows the last ':' of each key; valid during the callback. */
typedef void scan_on_names(void *arg, char *const *names, size_t count, const struct err *err);
/* `what`: "account", "key". ERR_UNAVAILABLE while they may lack some (gateway/wholeness.h). */
void scan_names(struct redis *redis, const char *what, scan_on_names *on_names, void *arg);

#endif
