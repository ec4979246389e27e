/* webhook_secret.h - what a webhook is called and what its messages are signed with, by the Standard Webhooks specification
 * (standardwebhooks.com, version 1): headers webhook-id, webhook-timestamp and webhook-signature, which is "v1," and the base64
 * of HMAC-SHA256(secret, id.timestamp.body).
 *
 * Id and secret are derived from the operation that made the webhook and the installation's derivation key, so an operation that is repeated gives
 * the same and the secret is kept nowhere. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_SECRET_H
#define TOLLGATE_GATEWAY_WEBHOOK_SECRET_H

#include "billing/webhook_record.h"
#include "lib/base/secret.h"

void webhook_id_derive(const char *account, const char *op, const struct secret *key,
                       char out[WEBHOOK_ID_TEXT]);
/* 32 bytes. */
void webhook_secret_derive(const char *id, const struct secret *key, struct secret *out);
/* "whsec_" and the base64 of it: the one place where it is spelled. */
void webhook_secret_text(const struct secret *secret, struct buf *out);

struct webhook_message {
    const char *id;    /* the notice's */
    int64_t timestamp; /* seconds since 1970 */
    struct span body;
};
/* "v1,…", appended. */
void webhook_sign(const struct secret *secret, const struct webhook_message *m, struct buf *out);

#endif
