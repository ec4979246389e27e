/* crypto.h - SHA-256, HMAC-SHA-256, AES-256-GCM and Ed25519 over OpenSSL's EVP, fetched once. */
#ifndef TOLLGATE_BASE_CRYPTO_H
#define TOLLGATE_BASE_CRYPTO_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"

#define SHA256_LEN 32
#define SHA256_HEX (2 * SHA256_LEN + 1)
#define ED25519_SIGNATURE_LEN 64
#define ED25519_PUBLIC_LEN 32

void sha256(const void *bytes, size_t n, unsigned char out[SHA256_LEN]);
void sha256_hex(const void *bytes, size_t n, char out[SHA256_HEX]);

/* SHA-1, only because Redis names its scripts by it. Hashed a few times at start. */
#define SHA1_HEX 41
void sha1_hex(const void *bytes, size_t n, char out[SHA1_HEX]);

struct sha256_stream;
struct sha256_stream *sha256_stream_new(void) MUST_USE;
void sha256_stream_free(struct sha256_stream *s);
DEFINE_AUTO(sha256_stream)
void sha256_stream_add(struct sha256_stream *s, const void *bytes, size_t n);
void sha256_stream_hex(struct sha256_stream *s, char out[SHA256_HEX]); /* ends the stream */

/* HMAC-SHA-256(key, bytes), RFC 2104. */
void hmac_sha256(const struct secret *key, struct span bytes, unsigned char out[SHA256_LEN]);
/* The same with one key for many messages: the key is taken in once, which is half of the work. Owns a copy of it. */
struct hmac_key;
struct hmac_key *hmac_key_new(const struct secret *key) MUST_USE;
void hmac_key_free(struct hmac_key *k);
DEFINE_AUTO(hmac_key)
void hmac_key_mac(const struct hmac_key *k, struct span bytes, unsigned char out[SHA256_LEN]);
bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */

/* AES-256-GCM (NIST SP 800-38D). A nonce must never be used twice with one key: draw it. */
#define GCM_KEY_LEN 32
#define GCM_NONCE_LEN 12
#define GCM_TAG_LEN 16
/* Appends nonce, ciphertext and tag. `aad` is authenticated and not encrypted. */
bool gcm_seal(const unsigned char key[GCM_KEY_LEN], const unsigned char nonce[GCM_NONCE_LEN], struct span aad, struct span plain, struct buf *out);
/* Appends what was sealed; ERR_DENIED, appending nothing, when one bit of key, aad or sealed is another. */
bool gcm_open(const unsigned char key[GCM_KEY_LEN], struct span aad, struct span sealed, struct buf *out, struct err *err) MUST_USE;

/* An Ed25519 key pair (RFC 8032); or only its public half. */
struct signing_key;
struct signing_key *signing_key_generate(void) MUST_USE;
/* PEM PKCS#8 file, mode 0600. Load refuses other algorithms and lax modes. */
struct signing_key *signing_key_load(const char *path, struct err *err) MUST_USE;
bool signing_key_save(const struct signing_key *k, const char *path, struct err *err) MUST_USE;
struct signing_key *signing_key_public(const unsigned char raw[ED25519_PUBLIC_LEN], struct err *err) MUST_USE;
void signing_key_free(struct signing_key *k);
DEFINE_AUTO(signing_key)
void signing_key_public_raw(const struct signing_key *k, unsigned char out[ED25519_PUBLIC_LEN]);
/* "k-" and the first 16 hex digits of SHA-256 of the raw public key: the `kid` of receipts and manifests. */
#define KEY_ID_TEXT 19
void signing_key_id(const struct signing_key *k, char out[KEY_ID_TEXT]);
bool signing_key_sign(const struct signing_key *k, struct span bytes, unsigned char out[ED25519_SIGNATURE_LEN], struct err *err) MUST_USE;
bool signing_key_verify(const struct signing_key *k, struct span bytes, const unsigned char signature[ED25519_SIGNATURE_LEN]) MUST_USE;

#endif
