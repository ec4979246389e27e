/* redis_server.h - a redis-server of the test's own, on a unix socket in `dir`, that dies with the
 * test. */
#ifndef TOLLGATE_TESTS_NET_REDIS_SERVER_H
#define TOLLGATE_TESTS_NET_REDIS_SERVER_H

#include <sys/types.h>

/* Returns when it listens at DIR/redis.sock. `options` end with a null. */
pid_t redis_server_start(const char *dir, const char *const *options);
void redis_server_kill(pid_t *pid); /* SIGKILL; 0 is accepted, and left behind */

#endif
