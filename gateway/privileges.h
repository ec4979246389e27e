/* privileges.h - started as root, a server becomes an ordinary user before it serves anybody. */
#ifndef TOLLGATE_GATEWAY_PRIVILEGES_H
#define TOLLGATE_GATEWAY_PRIVILEGES_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* Makes state, journal and archive where they are missing, and gives what it made to `user`. */
bool privileges_make_dirs(const char *user, const char *state, const char *journal,
                          const char *archive, struct err *err) MUST_USE;
/* Becomes `user` (null: stays) with its groups, for good; does nothing unless this process is root. */
bool privileges_drop(const char *user, struct err *err) MUST_USE;
/* For a command of root's that does something for the server: makes and reads files as `user`, with its groups, until
 * privileges_leave(). */
bool privileges_enter(const char *user, struct err *err) MUST_USE;
void privileges_leave(void);

#endif
