/* options_check.h - what the options mean together and to this machine: files, addresses, names.
 * Used by options.c. */
#ifndef TOLLGATE_GATEWAY_OPTIONS_CHECK_H
#define TOLLGATE_GATEWAY_OPTIONS_CHECK_H

#include "gateway/options.h"

/* Appends one "file:line: sentence" (without line where the default stands) for each mistake; false
 * if there was any. Looks at files and at the machine's users and zones, never at the network.
 * Leaves the process's zone set to theirs. `before` (may be null): those that a server runs with. */
bool options_check(const struct options *o, const struct options *before, const char *path,
                   const struct conf_places *places, struct buf *problems) MUST_USE;

#endif
