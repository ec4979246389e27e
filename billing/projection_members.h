/* projection_members.h - the members of a record's line that the projection needs, found in one walk over it. A member that is missing, given twice or malformed
 * answers false. */
#ifndef TOLLGATE_BILLING_PROJECTION_MEMBERS_H
#define TOLLGATE_BILLING_PROJECTION_MEMBERS_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

#define MEMBER_TEXT 256 /* of a member that is taken as text, with its NUL */

enum path {
    P_LINE, /* the record itself */
    P_ACCOUNT,
    P_REQUEST_ID,
    P_CURRENCY,
    P_AMOUNT,
    P_PERIOD,
    P_ENDED_AT,
    P_MODEL,
    P_CONTRACT,
    P_SHARE_BP,
    P_CREATORS,
    P_KEY,
    P_OWNER_KIND,
    P_OWNER,
    P_HASH,
    P_PEPPER,
    P_STATE,
    P_EXPIRES_AT,
    P_SCOPES,
    P_MODELS,
    P_IPS,
    P_FIRST_KEY,
    P_REPLACES,
    P_GRACE,
    P_REPLACED_UNTIL,
    P_REVISION,
    P_AT,
    P_OP,
    P_MODE,
    P_CREDIT_LIMIT,
    P_CONCURRENCY,
    P_RPM,
    P_TPM,
    P_BUDGET_DAY,
    P_BUDGET_MONTH,
    P_ZONE,
    P_UNITS,
    P_OUTCOME,
    P_STARTED_AT,
    P_BEGAN_ON,
    P_IDEMPOTENCY,
    P_IDEM_KEY,
    P_IDEM_BODY,
    P_OBJECT,
    P_ID,
    P_BODY,
    P_CHARGED,
    P_ORIG_PERIOD,
    P_ENTRY,
    P_AS,
    P_DETAIL,
    P_SPENT,
    P_TAKEN,
    P_LEFT,
    PATHS
};

struct members;
struct members *members_new(void) MUST_USE;
void members_free(struct members *m);
DEFINE_AUTO(members)

/* Keeps `line` until the next call, which is a record of ours. False: it is no object. */
bool members_read(struct members *m, struct span line);

/* Outputs live until the next members_read(). */
bool member_is_named(const struct members *m, enum path path);  /* be it null */
bool member_is_absent(const struct members *m, enum path path); /* or null */
bool member_value(const struct members *m, enum path path, struct span *out); /* as it stands */
/* A string without blanks, which part the fields of Redis's values, and short enough for a key. */
bool member_text(struct members *m, enum path path, const char **out);
bool member_id(struct members *m, enum path path, const char **out);
/* One of a null-terminated list. */
bool member_word(struct members *m, enum path path, const char *const *words, const char **out);
bool member_amount(struct members *m, enum path path, int64_t *out); /* nanos of a decimal */
bool member_count(const struct members *m, enum path path, int64_t *out);  /* 0 or more */
bool member_time(struct members *m, enum path path, int64_t *out);   /* nanos */
/* The same, 0 when it is absent. */
bool member_time_or_zero(struct members *m, enum path path, int64_t *out);
/* {"input_tokens":12,…}: the sum of what is counted in tokens, none larger than what a rate can hold. */
bool member_tokens(const struct members *m, enum path path, int64_t *out);
/* [{"id":"a","weight":1},…] as a:1,… */
bool member_owners(const struct members *m, enum path path, struct buf *out);

#endif
