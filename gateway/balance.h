/* balance.h - what an account, and the key that asks, have left: the same from a worker's API and from the console.
 *
 * {"object":"balance","account","currency","mode","balance","held","available","credit_limit","open_calls","zone",
 *  "limits":{"concurrency","rpm","tpm"},
 *  "key":{"public_id","rpm","tpm","expires_at","replaced_by"},
 *  "budgets":[{"of":"account", "key" or "model","model" (of one only),"window":"day" or "month","limit","spent","held",
 *             "left","ends_at"}]}
 *
 * A limit that is not set is null, and so is an end that a key does not have. Budgets are those that are set: the
 * account's, the key's, then the account's for single models, in their order; of a key that was rotated what its line
 * spent. `left` is what the next call may cost; it begins anew at `ends_at`. */
#ifndef TOLLGATE_GATEWAY_BALANCE_H
#define TOLLGATE_GATEWAY_BALANCE_H

#include "gateway/ledger.h"
#include "lib/net/httpd.h"

/* Answers the caller (service.h), now or later: of its own account and key. Borrows the ledger. */
void balance_answer(const struct ledger *ledger, struct http_request *r);

#endif
