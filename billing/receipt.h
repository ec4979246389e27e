/* receipt.h - proof of one call, or of one refund: a compact JWS (RFC 7515) signed with Ed25519 (RFC
 * 8037).
 *
 * Header {"alg":"EdDSA","kid":"k-…","typ":"tollgate-receipt-v1"}. Payload: request_id, account,
 * model, units, provenance, price (id@from), amount, currency, outcome, started_at, ended_at,
 * writer, n (the call's number among this writer's records for the account's partition). Of a
 * refund the typ is "tollgate-refund-receipt-v1", and the payload request_id, op, account, model,
 * price, charged (what the call cost), amount (what was given back), currency, reason, orig_period,
 * period, at, writer, n. Nothing in it depends on when it was signed. */
#ifndef TOLLGATE_BILLING_RECEIPT_H
#define TOLLGATE_BILLING_RECEIPT_H

#include "billing/event.h"
#include "billing/public_keys.h"
#include "billing/record.h"
#include "billing/refund.h"

#define RECEIPT_BYTES_MAX (2 * EVENT_BYTES_MAX)

/* `line` is the whole record of a call or a refund, as the journal, the archive and the streams of recent events
 * hold it. Appends to `out`. */
bool receipt_sign(struct span line, const struct signing_key *key, struct buf *out,
                  struct err *err) MUST_USE;

struct receipt {
    bool is_refund;
    char request_id[REQUEST_ID_TEXT], account[ID_TEXT], model[MODEL_TEXT], key_id[KEY_ID_TEXT];
    char writer[WRITER_TEXT];
    uint64_t n;
    struct money amount;
    char price[VERSION_TEXT];
    struct used used; /* of a call: used, outcome, started_at, ended_at */
    enum outcome outcome;
    int64_t started_at, ended_at;
    char op[ID_TEXT], reason[REFUND_REASON_MAX + 1]; /* of a refund: the rest */
    int64_t charged, at;
    struct period orig_period, period;
    bool is_archived; /* it was compared with the archive's record, and is the same */
};
/* Blanks and line breaks around `text` are allowed. ERR_DENIED: the signature is not by one of
 * `keys` over these bytes. `archive` null: not compared. ERR_NOT_FOUND when the archive does not
 * hold the record (yet), ERR_CORRUPT when it differs. */
bool receipt_verify(struct span text, const struct public_keys *keys, const char *archive,
                    struct receipt *out, struct err *err) MUST_USE;
void receipt_write(const struct receipt *r, struct jw *w); /* one object */

#endif
