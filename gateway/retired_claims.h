/* retired_claims.h - the idempotency keys of calls that a retired writer left open: free, once all that was saved of it has been applied. */
#ifndef TOLLGATE_GATEWAY_RETIRED_CLAIMS_H
#define TOLLGATE_GATEWAY_RETIRED_CLAIMS_H

#include "gateway/console_state.h"

/* `err`: some partitions were not told; asking again does no harm. */
typedef void retired_claims_on_end(void *arg, const struct err *err);
/* Tells all account partitions. `heads`: what the archive has of the writer, its last segment included. Answers once, not inside this call. */
void retired_claims_end(struct console *c, const char *writer, const struct record_heads *heads, retired_claims_on_end *on_end, void *arg);

#endif
