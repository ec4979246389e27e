/* claim.h - idempotency keys. A call that carries one claims it inside admit, for 24 h from its beginning: while it runs a repetition is told
 * to wait, once it was answered a repetition gets what is left of that answer, and a call that failed frees its key. BEGIN and END carry the key's
 * digest, so a claim that Redis loses is put again by its worker or by its END (scripts/claim.lua, answer.lua).
 *
 * A claim never ends because nobody is heard of any more: whether the call was answered is then unknown, and its END may still come. It ends with its
 * END, at its time, when the writer's directory was taken up again and all that was left in it has been applied, or when the writer was retired and all that was saved of it has been. */
#ifndef TOLLGATE_BILLING_CLAIM_H
#define TOLLGATE_BILLING_CLAIM_H

#include "billing/event.h"
#include "billing/partition.h"
#include "lib/base/text.h"
#include "lib/net/redis.h"

/* Of one call. */
struct claim {
    char request_id[REQUEST_ID_TEXT], account[ID_TEXT];
    struct idempotency digests; /* key "": there is no claim */
    int64_t ends_ms;            /* wall time */
};
void claim_of(const struct event *e, struct claim *out);
/* An idempotency key has a name under each pepper (gateway/pepper.h); a call claims it by one of them. These are the others. */
#define CLAIM_NAMES_MAX 2
struct claim_names {
    size_t count;
    struct idempotency digests[CLAIM_NAMES_MAX];
};
/* 24 h after a call began. */
int64_t claim_ends_ms(int64_t started_at);
int64_t claim_left_ms(int64_t ends_ms); /* negative when it is over */

struct claims; /* those of one writer */
struct claims_config {
    const char *installation, *writer;
    uint64_t turn;          /* journal_turn() */
    int64_t stored_answers; /* bytes that an account may have stored in any 24 h */
};
struct claims *claims_new(struct redis *redis, const struct claims_config *config) MUST_USE;
/* Callbacks that are still to come need nothing of it. */
void claims_free(struct claims *c);
DEFINE_AUTO(claims)

/* Each callback comes once, never inside the call. */
enum claim_state { CLAIM_STANDS, CLAIM_TAKEN /* by another call */, CLAIM_PARKED /* the partition takes nothing until it is rebuilt */, CLAIM_UNKNOWN };
typedef void claim_on_state(void *arg, enum claim_state state);
/* Puts it again when Redis has lost it. `also`: by which other names another call may have got its key meanwhile. */
void claims_put(struct claims *c, const struct claim *claim, const struct claim_names *also, claim_on_state *on_state, void *arg);
/* The call's END is durable. `stored` (or empty) is kept for who repeats an answered call, if the account has
 * stored little enough and the key is still that call's. Another state than STANDS: the END will do it. */
void claims_end(struct claims *c, const struct claim *claim, bool is_answered, struct span stored, claim_on_state *on_state, void *arg);

/* What was stored of an answered call; null when nothing is, or no longer. Valid during the callback. */
typedef void claim_on_stored(void *arg, const struct span *stored, const struct err *err);
void claims_stored(struct claims *c, const char *account, const char *request_id, claim_on_stored *on_stored, void *arg);

/* The key "idem:<account>:<digest>" of a claim: what stands behind its partition's name. */
#define CLAIM_NAME (ID_TEXT + DIGEST_TEXT)
const char *claim_name(const char *account, const char *digest, char out[CLAIM_NAME]);

/* The arguments of admit.lua that concern the claim. */
struct claim_args {
    char keys[2 + CLAIM_NAMES_MAX][PARTITION_KEY], ends[INT64_TEXT], turn[INT64_TEXT];
    struct span key[2 + CLAIM_NAMES_MAX], arg[3 + CLAIM_NAMES_MAX];
    size_t key_count, arg_count;
};
/* `out` points into itself and into what it is made of. */
void claims_admit_args(const struct claims *c, const struct claim *claim,
                       const struct claim_names *also, struct claim_args *out);

#endif
