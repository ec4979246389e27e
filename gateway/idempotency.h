/* idempotency.h - the Idempotency-Key of a call: what is known of it, and the answer that only its sender can open again.
 * Keys belong to an account: two accounts may use the same, and all API keys of one share theirs. */
#ifndef TOLLGATE_GATEWAY_IDEMPOTENCY_H
#define TOLLGATE_GATEWAY_IDEMPOTENCY_H

#include "billing/claim.h"
#include "gateway/pepper.h"
#include "lib/base/crypto.h"
#include "lib/net/http_head.h"

#define IDEMPOTENCY_KEY_MAX 255

/* Of one call. The digests may be kept and archived; the sealing key is derived from the pepper and the header's own
 * text, and neither it nor the text is kept, so what was sealed opens only for who sends that text again. */
struct idempotent {
    struct idempotency digests;
    unsigned char sealing_key[GCM_KEY_LEN];
};

/* The header: 1 to 255 visible ASCII characters, given once. `key` has null data when there is none; ERR_INPUT with a sentence otherwise. */
bool idempotency_key_read(const struct http_head *head, struct span *key, struct err *err) MUST_USE;
/* What is asked is the path and the body, byte for byte. */
struct asked {
    struct span path, body;
};
void idempotency_derive(const struct hmac_key *pepper, const char *account, struct span key, const struct asked *asked, struct idempotent *out);
/* The same under every pepper that there is, the one in use first: while one takes another's place, a repetition is known by the name that its call claimed. */
struct idempotents {
    size_t count;
    struct idempotent by[PEPPERS];
};
void idempotents_derive(const struct peppers *peppers, const char *account, struct span key, const struct asked *asked, struct idempotents *out);
/* All but the first. */
void idempotents_other_names(const struct idempotents *all, struct claim_names *out);

/* A whole answer as it left: body, content type, cost. */
struct stored_answer {
    char content_type[128];
    char cost[DECIMAL_TEXT];
    struct span body; /* borrowed */
};
#define STORED_HEAD_MAX (128 + DECIMAL_TEXT + 2 + GCM_NONCE_LEN + GCM_TAG_LEN)
/* The call that it answers: it opens for no other. */
struct stored_call {
    const struct idempotent *by;
    const char *account, *request_id;
};
/* AES-256-GCM over "content-type\ncost\nbody", bound to the call and what was asked. */
bool stored_answer_seal(const struct stored_answer *answer, const struct stored_call *call,
                        struct buf *out);
/* `plain` keeps the bytes that `out` points to. ERR_DENIED: it was not sealed so, or is damaged. */
bool stored_answer_open(struct span sealed, const struct stored_call *call, struct buf *plain,
                        struct stored_answer *out, struct err *err) MUST_USE;

#endif
