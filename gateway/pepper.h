/* pepper.h - what the secrets of keys are hashed with, and up to two more while one takes another's place.
 *
 * state/pepper is the one in use. state/pepper.next is known, so that no host meets a hash that it can't check when
 * another one has begun to use it; state/pepper.previous is known too, and a key whose hash was made under it is
 * hashed anew with the one in use when it is used. Both may be absent. Who has a pepper can test guesses of secrets,
 * and make out the secrets of keys whose operation ids he knows (keyring.h). */
#ifndef TOLLGATE_GATEWAY_PEPPER_H
#define TOLLGATE_GATEWAY_PEPPER_H

#include "billing/admission.h"
#include "lib/base/crypto.h"

enum pepper_role { PEPPER_IN_USE, PEPPER_PREVIOUS, PEPPER_NEXT, PEPPERS };

struct pepper {
    char id
        [PEPPER_ID_TEXT]; /* names it where its hashes are kept, and tells nothing of it; "": there is none */
    struct secret secret;
    struct hmac_key *keyed; /* with that secret, since keying costs as much as what is hashed at every call */
};
struct peppers {
    struct pepper of[PEPPERS];
};
/* Its file's name in the state directory. */
const char *pepper_file(enum pepper_role role);
void pepper_set(struct pepper *p, const struct secret *secret);
/* From `state`; only the one in use must be there. One that is the same as a role before it is left out. */
bool peppers_load(struct peppers *p, const char *state, struct err *err) MUST_USE;
/* False: none of these has that id. */
bool peppers_find(const struct peppers *p, const char *id, enum pepper_role *out) MUST_USE;
/* The role after `*role` that has one; false: that was the last. */
bool peppers_next(const struct peppers *p, enum pepper_role *role) MUST_USE;
void peppers_clear(struct peppers *p);
DEFINE_AUTO_CLEAR(peppers)

#endif
