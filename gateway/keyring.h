/* keyring.h - who is calling: `sk-tg-<public id>-<secret>` (accounts) and `ck-tg-…` (creators) against the hashes that Redis holds.
 * The public id is 12 characters of [0-9a-z], the first two the decimal number of its partition; the secret 32 of [0-9a-z]. Only HMAC-SHA256(pepper, secret) is kept,
 * with the id of that pepper. A key that was hashed under an earlier pepper is as good, and is given another hash when it is used. */
#ifndef TOLLGATE_GATEWAY_KEYRING_H
#define TOLLGATE_GATEWAY_KEYRING_H

#include "billing/admission.h"
#include "gateway/key_access.h"
#include "gateway/pepper.h"
#include "lib/net/httpd.h"

#define KEY_SECRET_TEXT 33
#define KEY_TEXT 64 /* the whole key */

struct api_key {
    char kind; /* 'a' account, 'c' creator */
    char public_id[KEY_ID_PUBLIC];
    struct secret secret;
};
static inline UNUSED void api_key_clear(struct api_key *k)
{
    secret_clear(&k->secret);
}
DEFINE_AUTO_CLEAR(api_key)
/* Whether no reader of this head could find another credential in it: ERR_INPUT when `Authorization` or `x-api-key` is given
 * twice, or x-api-key is a key of a gateway and the bearer is another text. True for none. */
bool credential_is_one(const struct http_head *head, struct err *err) MUST_USE;
/* From `Authorization: Bearer` or `x-api-key`, of a head with one credential. False: none or malformed; *present says which. */
bool api_key_from_head(const struct http_head *head, struct api_key *out, bool *present) MUST_USE;
bool api_key_parse(struct span text, struct api_key *out) MUST_USE;
/* The key that the operation `op` makes for an owner, whose partition it names. The public id follows from the rest, so an operation makes one key,
 * whatever the pepper is by then; the secret is derived from the pepper, and who lacks that learns nothing from `op`. */
struct key_origin {
    char kind;
    const char *installation, *owner, *op;
};
void api_key_derive(const struct key_origin *from, const struct secret *pepper, struct api_key *out);
void api_key_text(const struct api_key *k, struct buf *out); /* the one place where the secret is spelled */
void api_key_hash(const struct api_key *k, const struct secret *pepper, unsigned char out[32]);

enum key_verdict {
    KEY_GOOD, KEY_UNKNOWN, KEY_REVOKED, KEY_EXPIRED,
    KEY_UNREADABLE, /* Redis is away */
    KEY_RECOVERING, /* after waiting: its partition's writers have not all come back yet */
};
struct key_holder {
    char public_id[KEY_ID_PUBLIC];
    char kind;
    char owner[ID_TEXT];
    char first_key[KEY_ID_PUBLIC]; /* by which it counts in rates and budgets: where its rotations began */
    unsigned char hash[PEPPERS][32]; /* of its secret, under each pepper that there is */
    struct key_access *access; /* what it opens; borrowed: who keeps it holds it */
    char zone[ZONE_TEXT]; /* of its account, as admit said last; "": the platform's, or not known yet */
};

struct keyring;
/* Good answers are cached 30 s, at most `entries_max`; keyring_forget() when tg:changes says so. While Redis is away, or not up to the journals, one that
 * is not older than `stale_ms` still counts. Who has none waits for the journals, and not for a Redis that is away. */
struct keyring_config {
    const struct peppers *peppers; /* borrowed */
    size_t entries_max;
    int64_t stale_ms;
    int64_t recovering_wait_ms; /* how long a key that was not read yet waits while its partition recovers, polling */
    /* A good key whose hash was made under the previous pepper was read from Redis: this is the one to be kept. It comes again until that is done.
     * Null: not told. */
    void (*on_outdated)(void *arg, const char *public_id, const unsigned char hash[32]);
    void *arg;
};
struct keyring *keyring_new(struct loop *loop, struct redis *redis, const struct keyring_config *config) MUST_USE;
void keyring_free(struct keyring *k);
DEFINE_AUTO(keyring)
typedef void key_on_verdict(void *arg, enum key_verdict verdict, const struct key_holder *holder);
/* `fresh`: never from the cache, whether Redis is away or not (routes without admit, so that a revoked key fails at once there too). A cached answer calls back before returning;
 * then null is returned, else a handle for key_check_cancel(). */
struct key_check *keyring_check(struct keyring *k, const struct api_key *key, bool fresh, key_on_verdict *on_verdict, void *arg);
/* The same, from Redis, for a key that was good before and opens something else now. */
struct key_check *keyring_check_again(struct keyring *k, const struct key_holder *holder, key_on_verdict *on_verdict, void *arg);
void key_check_cancel(struct key_check *c);
/* What admit said of the zone of the key's account; remembered as long as the key is. */
void keyring_note_zone(struct keyring *k, const char *public_id, const char *zone);
void keyring_forget(struct keyring *k, const char *public_id);
void keyring_forget_all(struct keyring *k);

#endif
