/* crypto.c - OpenSSL behind the few operations we use. Algorithms are fetched once, before children are forked:
 * fetching by name at every call costs more than hashing a key. What can only fail for want of memory aborts. */
#include "lib/base/crypto.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define PEM_MAX 8192

struct sha256_stream {
    EVP_MD_CTX *ctx;
};

struct signing_key {
    EVP_PKEY *pair; /* or the public half alone */
};

struct hmac_key {
    EVP_MAC_CTX *ctx; /* has the key; copied for each message */
};

static void fetch(void);
static void fetched(void);
static void must(bool done);
static EVP_MAC_CTX *copy_of(const EVP_MAC_CTX *ctx);
static void finish_mac(EVP_MAC_CTX *ctx, struct span bytes, unsigned char out[SHA256_LEN]);
static void gcm_update(EVP_CIPHER_CTX *ctx, unsigned char *out, struct span in);
static struct signing_key *key_of(EVP_PKEY *pair);
static EVP_PKEY *parse_pem(struct span pem, const char *path, struct err *err);
static int no_passphrase(char *out, int size, int writing, void *unused);

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;
static EVP_CIPHER *gcm;
static EVP_MAC_CTX
    *hmac_template; /* HMAC with its digest chosen, without a key; copied for each use */

void sha256(const void *bytes, size_t n, unsigned char out[SHA256_LEN])
{
    fetched();
    must(EVP_Digest(bytes, n, out, NULL, sha256_md, NULL) == 1);
}

static void fetched(void)
{
    pthread_once(&fetch_once, fetch);
}

static void fetch(void)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    hmac_template = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    must(sha256_md && gcm && hmac_template && EVP_MAC_CTX_set_params(hmac_template, params) == 1);
}

static void must(bool done)
{
    if (!done)
        abort();
}

void sha256_hex(const void *bytes, size_t n, char out[SHA256_HEX])
{
    unsigned char digest[SHA256_LEN];

    sha256(bytes, n, digest);
    hex_encode(digest, sizeof digest, out);
}

void sha1_hex(const void *bytes, size_t n, char out[SHA1_HEX])
{
    unsigned char digest[(SHA1_HEX - 1) / 2];

    must(EVP_Digest(bytes, n, digest, NULL, EVP_sha1(), NULL) == 1);
    hex_encode(digest, sizeof digest, out);
}

struct sha256_stream *sha256_stream_new(void)
{
    struct sha256_stream *s = xcalloc(1, sizeof *s);

    fetched();
    s->ctx = EVP_MD_CTX_new();
    must(s->ctx && EVP_DigestInit_ex2(s->ctx, sha256_md, NULL) == 1);
    return s;
}

void sha256_stream_free(struct sha256_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

void sha256_stream_add(struct sha256_stream *s, const void *bytes, size_t n)
{
    must(EVP_DigestUpdate(s->ctx, bytes, n) == 1);
}

void sha256_stream_hex(struct sha256_stream *s, char out[SHA256_HEX])
{
    unsigned char digest[SHA256_LEN];

    must(EVP_DigestFinal_ex(s->ctx, digest, NULL) == 1);
    hex_encode(digest, sizeof digest, out);
}

void hmac_sha256(const struct secret *key, struct span bytes, unsigned char out[SHA256_LEN])
{
    AUTO(hmac_key) k = hmac_key_new(key);

    finish_mac(k->ctx, bytes, out);
}

struct hmac_key *hmac_key_new(const struct secret *key)
{
    struct hmac_key *k = xcalloc(1, sizeof *k);

    fetched();
    k->ctx = copy_of(hmac_template);
    must(EVP_MAC_init(k->ctx, key->bytes, key->len, NULL) == 1);
    return k;
}

void hmac_key_free(struct hmac_key *k)
{
    if (!k)
        return;
    EVP_MAC_CTX_free(k->ctx);
    free(k);
}

/* A copy for each message: beginning anew with the key that a context has is something that OpenSSL 3.0.2 fails to do. */
void hmac_key_mac(const struct hmac_key *k, struct span bytes, unsigned char out[SHA256_LEN])
{
    EVP_MAC_CTX *ctx = copy_of(k->ctx);

    finish_mac(ctx, bytes, out);
    EVP_MAC_CTX_free(ctx);
}

static EVP_MAC_CTX *copy_of(const EVP_MAC_CTX *ctx)
{
    EVP_MAC_CTX *copy = EVP_MAC_CTX_dup(ctx);

    must(copy != NULL);
    return copy;
}

static void finish_mac(EVP_MAC_CTX *ctx, struct span bytes, unsigned char out[SHA256_LEN])
{
    size_t n;

    must(EVP_MAC_update(ctx, (const unsigned char *)bytes.data, bytes.len) == 1 &&
         EVP_MAC_final(ctx, out, &n, SHA256_LEN) == 1);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

bool gcm_seal(const unsigned char key[GCM_KEY_LEN], const unsigned char nonce[GCM_NONCE_LEN],
              struct span aad, struct span plain, struct buf *out)
{
    unsigned char tag[GCM_TAG_LEN];
    size_t start = out->len + GCM_NONCE_LEN;
    int n = 0;

    fetched();
    if (!buf_add(out, nonce, GCM_NONCE_LEN) || !buf_add_span(out, plain))
        return false;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx && EVP_EncryptInit_ex2(ctx, gcm, key, nonce, NULL) == 1);
    gcm_update(ctx, NULL, aad);
    gcm_update(ctx, (unsigned char *)out->data + start,
               (struct span){out->data + start, plain.len});
    must(EVP_EncryptFinal_ex(ctx, NULL, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_LEN, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return buf_add(out, tag, GCM_TAG_LEN);
}

/* In place when `out` is where `in` is; nowhere (null) for what is only authenticated. */
static void gcm_update(EVP_CIPHER_CTX *ctx, unsigned char *out, struct span in)
{
    int n = 0;

    assert(in.len <= INT_MAX);
    must(in.len == 0 ||
         EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)in.data, (int)in.len) == 1);
}

bool gcm_open(const unsigned char key[GCM_KEY_LEN], struct span aad, struct span sealed,
              struct buf *out, struct err *err)
{
    size_t start = out->len, len = sealed.len - GCM_NONCE_LEN - GCM_TAG_LEN;
    unsigned char tag[GCM_TAG_LEN];
    int n = 0;

    fetched();
    if (sealed.len < GCM_NONCE_LEN + GCM_TAG_LEN)
        return err_set(err, ERR_DENIED, "what was sealed is too short");
    if (!buf_add(out, sealed.data + GCM_NONCE_LEN, len))
        return err_set(err, ERR_LIMIT, "what was sealed is too long");
    memcpy(tag, sealed.data + GCM_NONCE_LEN + len, sizeof tag);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx && EVP_DecryptInit_ex2(ctx, gcm, key, (const unsigned char *)sealed.data, NULL) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_LEN, tag) == 1);
    gcm_update(ctx, NULL, aad);
    gcm_update(ctx, (unsigned char *)out->data + start, (struct span){out->data + start, len});
    bool ok = EVP_DecryptFinal_ex(ctx, NULL, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        buf_truncate(out, start);
    return ok || err_set(err, ERR_DENIED, "it was sealed with another key, or changed since");
}

struct signing_key *signing_key_generate(void)
{
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    must(pair != NULL);
    return key_of(pair);
}

static struct signing_key *key_of(EVP_PKEY *pair)
{
    struct signing_key *k = xcalloc(1, sizeof *k);

    k->pair = pair;
    return k;
}

struct signing_key *signing_key_load(const char *path, struct err *err)
{
    AUTO_CLEAR(buf) pem = {.max = PEM_MAX};
    EVP_PKEY *pair = NULL;
    int fd = file_open_private(path, err);

    if (fd < 0)
        return NULL;
    if (fd_read_all(fd, &pem, path, err))
        pair = parse_pem(buf_span(&pem), path, err);
    close(fd);
    if (pem.data)
        explicit_bzero(pem.data, pem.cap);
    return pair ? key_of(pair) : NULL;
}

static EVP_PKEY *parse_pem(struct span pem, const char *path, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    if (!pair) {
        err_set(err, ERR_INPUT, "%s is not an unencrypted PKCS#8 private key in PEM", path);
        return NULL;
    }
    if (!EVP_PKEY_is_a(pair, "ED25519")) {
        err_set(err, ERR_INPUT, "%s holds a key of another algorithm than Ed25519", path);
        EVP_PKEY_free(pair);
        return NULL;
    }
    return pair;
}

/* Without it OpenSSL would ask at the terminal. */
static int no_passphrase(char *out, int size, int writing, void *unused)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)unused;
    return 0;
}

bool signing_key_save(const struct signing_key *k, const char *path, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem;
    long n;
    bool ok;

    must(bio != NULL);
    if (PEM_write_bio_PKCS8PrivateKey(bio, k->pair, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return err_set(err, ERR_INPUT, "cannot save %s: only the public half is known", path);
    }
    n = BIO_get_mem_data(bio, &pem);
    ok = file_write_new(path, 0600, (struct span){pem, (size_t)n}, err);
    BIO_free(bio);
    return ok;
}

struct signing_key *signing_key_public(const unsigned char raw[ED25519_PUBLIC_LEN], struct err *err)
{
    EVP_PKEY *half = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, raw, ED25519_PUBLIC_LEN);

    if (!half) {
        err_set(err, ERR_INPUT, "not an Ed25519 public key");
        return NULL;
    }
    return key_of(half);
}

void signing_key_free(struct signing_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pair);
    free(k);
}

void signing_key_public_raw(const struct signing_key *k, unsigned char out[ED25519_PUBLIC_LEN])
{
    size_t n = ED25519_PUBLIC_LEN;

    must(EVP_PKEY_get_raw_public_key(k->pair, out, &n) == 1 && n == ED25519_PUBLIC_LEN);
}

void signing_key_id(const struct signing_key *k, char out[KEY_ID_TEXT])
{
    unsigned char raw[ED25519_PUBLIC_LEN], digest[SHA256_LEN];

    signing_key_public_raw(k, raw);
    sha256(raw, sizeof raw, digest);
    memcpy(out, "k-", 2);
    hex_encode(digest, 8, out + 2);
}

bool signing_key_sign(const struct signing_key *k, struct span bytes,
                      unsigned char out[ED25519_SIGNATURE_LEN], struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = ED25519_SIGNATURE_LEN;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pair) == 1 &&
              EVP_DigestSign(ctx, out, &n, (const unsigned char *)bytes.data, bytes.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok || err_set(err, ERR_INPUT, "cannot sign: only the public half of the key is known");
}

bool signing_key_verify(const struct signing_key *k, struct span bytes,
                        const unsigned char signature[ED25519_SIGNATURE_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pair) == 1 &&
              EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_LEN,
                               (const unsigned char *)bytes.data, bytes.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}
