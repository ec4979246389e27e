/* receipt_reply.h - receipts as answers: application/jose, signed when they are asked for. */
#ifndef TOLLGATE_GATEWAY_RECEIPT_REPLY_H
#define TOLLGATE_GATEWAY_RECEIPT_REPLY_H

#include "billing/receipt.h"
#include "billing/refund_set.h"
#include "lib/net/httpd.h"

/* `line` is the whole record of a call or a refund. */
void receipt_reply(struct http_request *r, struct span line, const struct signing_key *key);
/* 404 unless a refund of that operation counts. */
void receipt_reply_refund(struct http_request *r, const struct refund_set *refunds, const char *op,
                          const struct signing_key *key);

#endif
