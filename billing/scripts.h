/* scripts.h - the Lua programs that Redis runs, embedded at build from billing/scripts/. Each touches one partition (one hash slot) and declares all its keys. */
#ifndef TOLLGATE_BILLING_SCRIPTS_H
#define TOLLGATE_BILLING_SCRIPTS_H

#include "lib/net/redis.h"

enum script {
    SCRIPT_APPLY_ACCOUNT, /* a batch of records into an account partition */
    SCRIPT_APPLY_MODEL,   /* a batch of records into a model partition */
    SCRIPT_ADMIT,         /* may this call run? places its hold */
    SCRIPT_HOLD,          /* renews, puts again or releases holds of one account */
    SCRIPT_ANSWER,        /* puts a claim of an idempotency key again, ends it, stores an answer */
    SCRIPT_RECOVERED,     /* a writer has replayed all and put its holds again under this run_id */
    SCRIPT_GRANTS,        /* what is left of an account's grants, and is to be taken back */
    SCRIPT_SWEEP,         /* removes holds that nobody renewed */
    SCRIPT_TRIM,          /* takes old entries out of a stream */
    SCRIPT_REBUILD,       /* takes a partition back to nothing */
    SCRIPT_RETIRED,       /* a writer left its open calls for good */
    SCRIPT_COUNT
};
/* Digests are computed on first use. */
const struct redis_script *script_get(enum script s);

/* The files of billing/scripts/ as they are, which scripts.c puts together. */
extern const char script_decimal[], script_rate[], script_claim[], script_apply[], script_refund[], script_spent[], script_budget[], script_terms[], script_grant[], script_funds[], script_grants[], script_apply_account[], script_apply_model[];
extern const char script_admit[], script_hold[], script_answer[], script_recovered[], script_sweep[], script_trim[], script_rebuild[],
    script_retired[];

#endif
