/* redis_child.h - the private redis-server of a development machine: a unix socket, no port. */
#ifndef TOLLGATE_GATEWAY_REDIS_CHILD_H
#define TOLLGATE_GATEWAY_REDIS_CHILD_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* Writes dir/redis.conf, for data in `dir` and the socket at `socket_path`. ERR_NOT_FOUND when the
 * machine has no redis-server. */
bool redis_child_prepare(const char *dir, const char *socket_path, struct err *err) MUST_USE;
/* Becomes the server (a child_plan's run): `dir` is a char *. Returns only when it could not. */
int redis_child_run(void *dir);

#endif
