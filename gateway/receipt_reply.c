/* receipt_reply.c - a client's receipt and the operator's copy of it are the same bytes. */
#include "gateway/receipt_reply.h"

#include "gateway/call_refunds.h"
#include "gateway/service.h"

void receipt_reply(struct http_request *r, struct span line, const struct signing_key *key)
{
    const struct http_field fields[] = {{"content-type", "application/jose"},
                                        {"x-request-id", request_caller(r)->request_id}};
    AUTO_CLEAR(buf) jws = {.max = 2 * RECEIPT_BYTES_MAX};
    struct err err;

    if (receipt_sign(line, key, &jws, &err))
        http_reply(r, 200, fields, ARRAY_LEN(fields), buf_span(&jws));
    else
        reply_err(r, &err);
}

void receipt_reply_refund(struct http_request *r, const struct refund_set *refunds, const char *op,
                          const struct signing_key *key)
{
    const struct refund_entry *e = call_refunds_find(refunds, op);

    if (e && e->counts)
        receipt_reply(r, span_of(e->line), key);
    else
        reply_problem(r, CALLER_NOT_FOUND, "There is no refund '%s' of this call", op);
}
