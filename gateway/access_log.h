/* access_log.h - a file of lines that never makes its writer wait: a thread writes, and what it cannot
 * keep up with is dropped and counted. */
#ifndef TOLLGATE_GATEWAY_ACCESS_LOG_H
#define TOLLGATE_GATEWAY_ACCESS_LOG_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct access_log;
/* Appends to `path` (made with mode 0640), or to standard error when it is "stderr". */
struct access_log *access_log_open(const char *path, struct err *err) MUST_USE;
/* Writes what waits, for a second at most. */
void access_log_free(struct access_log *l);
DEFINE_AUTO(access_log)
/* A whole line with its end. False: it was dropped. */
bool access_log_add(struct access_log *l, struct span line) MUST_USE;

#endif
