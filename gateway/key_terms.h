/* key_terms.h - what a key is to be: from a request, out of what it is, into a record and an answer. */
#ifndef TOLLGATE_GATEWAY_KEY_TERMS_H
#define TOLLGATE_GATEWAY_KEY_TERMS_H

#include "billing/admission.h"
#include "gateway/keyring.h"

/* The members that a body has of rpm, tpm, budget_day, budget_month; what is not named stays. None is for a creator's key. */
bool key_limits_read(const json_t *body, struct key_state *k, struct err *err) MUST_USE;
/* "expires_at": a time, or null for never. */
bool key_expiry_read(const json_t *body, struct key_state *k, struct err *err) MUST_USE;
/* ERR_INPUT unless the key, when it ends at all, ends later than now. */
bool key_expiry_is_ahead(const struct key_state *k, struct err *err) MUST_USE;
/* "scopes", "models" and "ips"; a creator's key may have the last alone. */
bool key_opens_read(const json_t *body, char owner_kind, struct key_access **out,
                    struct err *err) MUST_USE;

/* The hash of the key under that pepper. */
void key_hash_under(const struct api_key *key, const struct pepper *pepper, struct key_state *out);
/* "hash" and "pepper". */
void key_hash_write(struct jw *w, const struct key_state *k);
/* Those, "owner_kind" and "owner": of a new one. */
void key_owner_write(struct jw *w, const struct key_state *k);
/* Those that `names` has of the members that may change, or all when it is null. `access` may be null. */
void key_changes_write(struct jw *w, const struct key_state *k, const struct key_access *access,
                       const json_t *names);

/* Of an answer: "state" active, expired or revoked, and when it ends, by what it was replaced; limits of an account's key;
 * and what it opens, an object of lists, of which those that are absent, null or empty narrow nothing. */
void key_state_write(struct jw *w, const struct key_state *k, const json_t *opens);
/* {"public_id","account" or "creator","secret"}: the object is left open for more. The one place where a secret is told. */
void key_secret_write(struct jw *w, const struct key_state *k, const struct api_key *key);

#endif
