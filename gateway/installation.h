/* installation.h - what is made once and kept in the state directory: id, pepper, signing key,
 * tokens. Files of mode 0600. state/: installation.json
 * {"format":1,"installation","partitions","zone","created_at"}, pepper (and beside it those of
 * gateway/pepper.h), derivation.key, signing.pem, operator.token, finance.token, admin.sock,
 * console.lock */
#ifndef TOLLGATE_GATEWAY_INSTALLATION_H
#define TOLLGATE_GATEWAY_INSTALLATION_H

#include "billing/public_keys.h"
#include "gateway/pepper.h"
#include "lib/base/crypto.h"
#include "lib/base/secret.h"

struct installation {
    char id[40]; /* "in-" and 16 of [0-9a-z] */
    struct peppers peppers;
    struct secret derivation_key; /* names by which creators see clients, and webhooks' secrets, for ever */
    struct signing_key *signing_key;
    struct public_keys
        public_keys; /* of this one and of all that signed before, as the archive keeps them */
    struct secret operator_token, finance_token;
};
/* Makes what is missing, in a directory it creates (0700); refuses an installation whose zone or
 * partitions differ. Where the archive is an installation's already, none is made: a host joins
 * with copies of the files that a host of it has, and the refusal names them. */
bool installation_open(const char *state, const char *archive, const char *zone,
                       struct installation *out, struct err *err) MUST_USE;
/* What of that can be said without making anything. A directory that this process may not enter is not looked into. */
bool installation_check(const char *state, const char *archive, const char *zone,
                        struct err *err) MUST_USE;
void installation_clear(struct installation *i);
DEFINE_AUTO_CLEAR(installation)

#endif
