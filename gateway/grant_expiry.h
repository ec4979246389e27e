/* grant_expiry.h - takes back what is unspent of grants that have ended. The console has one.
 *
 * Redis lists the grants that are not over by when they end. At that time, and at least once a minute, `grants.lua` says how
 * much of each is to be taken back and sets it aside; a record says so, and only that moves the balance. So it counts
 * once, whoever dies in between and however many consoles decide. What open calls hold is taken when they have ended. */
#ifndef TOLLGATE_GATEWAY_GRANT_EXPIRY_H
#define TOLLGATE_GATEWAY_GRANT_EXPIRY_H

#include <stdint.h>

#include "lib/base/attr.h"

struct console;
struct grant_expiry;
/* Borrows the console, whose loop and ledger are there. */
struct grant_expiry *grant_expiry_new(struct console *c) MUST_USE;
/* After the ledger was closed. */
void grant_expiry_free(struct grant_expiry *e);
/* A grant that was given ends then (nanos). */
void grant_expiry_expect(struct grant_expiry *e, int64_t expires_at);

#endif
