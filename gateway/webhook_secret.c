/* webhook_secret.c - derivations are told apart by their first line, as those of keys are. */
#include "gateway/webhook_secret.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/crypto.h"
#include "lib/base/text.h"

#define TEXT_MAX 256
#define SPELLED  (WEBHOOK_ID_TEXT - 6) /* behind wh_ and two digits */

static void derive(const char *what, const char *a, const char *b, const struct secret *key,
                   unsigned char digest[SHA256_LEN]);

void webhook_id_derive(const char *account, const char *op, const struct secret *key,
                       char out[WEBHOOK_ID_TEXT])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(account));
    unsigned char digest[SHA256_LEN];
    size_t len = (size_t)snprintf(out, WEBHOOK_ID_TEXT, "wh_%02u", p.index % 100);

    derive("webhook id", account, op, key, digest);
    for (size_t i = 0; i < SPELLED; i++)
        out[len + i] = letters[digest[i] % 36];
    out[len + SPELLED] = '\0';
}

void webhook_secret_derive(const char *id, const struct secret *key, struct secret *out)
{
    unsigned char digest[SHA256_LEN];
    bool fits;

    derive("webhook secret", id, "", key, digest);
    fits = secret_set(out, (struct span){(const char *)digest, sizeof digest}, NULL);
    assert(fits);
    (void)fits;
    explicit_bzero(digest, sizeof digest);
}

static void derive(const char *what, const char *a, const char *b, const struct secret *key,
                   unsigned char digest[SHA256_LEN])
{
    AUTO_CLEAR(buf) text = {.max = TEXT_MAX};

    buf_printf(&text, "%s\n%s\n%s", what, a, b);
    assert(!text.failed);
    hmac_sha256(key, buf_span(&text), digest);
}

void webhook_secret_text(const struct secret *secret, struct buf *out)
{
    struct span bytes = secret_reveal(secret);

    buf_add_string(out, "whsec_");
    base64_encode(out, bytes.data, bytes.len);
}

void webhook_sign(const struct secret *secret, const struct webhook_message *m, struct buf *out)
{
    AUTO_CLEAR(buf) text = {.max = SIZE_MAX};
    unsigned char mac[SHA256_LEN];

    buf_printf(&text, "%s.%" PRId64 ".", m->id, m->timestamp);
    buf_add_span(&text, m->body);
    assert(!text.failed);
    hmac_sha256(secret, buf_span(&text), mac);
    buf_add_string(out, "v1,");
    base64_encode(out, mac, sizeof mac);
}
