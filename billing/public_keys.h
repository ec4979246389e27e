/* public_keys.h - Ed25519 public keys as they are published and handed around: JWK and JWKS (RFC
 * 7517, RFC 8037), PEM (RFC 8410), or 32 raw bytes. */
#ifndef TOLLGATE_BILLING_PUBLIC_KEYS_H
#define TOLLGATE_BILLING_PUBLIC_KEYS_H

#include "lib/base/crypto.h"
#include "lib/base/json.h"

#define PUBLIC_KEYS_MAX       64
#define PUBLIC_KEYS_BYTES_MAX 65536

struct public_keys {
    size_t count;
    struct {
        char id[KEY_ID_TEXT];
        struct signing_key *key;
    } at[PUBLIC_KEYS_MAX];
};
void public_keys_clear(struct public_keys *k);
DEFINE_AUTO_CLEAR(public_keys)
/* Any of the forms above. A JWK's "kid" must be the key's. Clear *out afterwards, also on
 * failure. */
bool public_keys_parse(struct span bytes, struct public_keys *out, struct err *err) MUST_USE;
bool public_keys_read(const char *path, struct public_keys *out, struct err *err) MUST_USE;
/* Null when it is not there. */
const struct signing_key *public_keys_find(const struct public_keys *k, const char *id);

/* {"kty":"OKP","crv":"Ed25519","kid":"k-…","use":"sig","alg":"EdDSA","x":"…"} */
void jwk_write(const struct signing_key *key, struct jw *w);
/* {"keys":[…]}: /.well-known/tollgate-jwks.json. */
void jwks_write(const struct public_keys *keys, struct jw *w);

/* Every key that ever signed stays known: archive/keys/<id>.json is its JWK. */
bool public_keys_keep(const char *archive, const struct signing_key *key, struct err *err) MUST_USE;
/* Clear *out afterwards, also on failure. */
bool public_keys_kept(const char *archive, struct public_keys *out, struct err *err) MUST_USE;

#endif
