/* account_terms.h - what an account is to be: from a request, out of what it is, into a record. */
#ifndef TOLLGATE_GATEWAY_ACCOUNT_TERMS_H
#define TOLLGATE_GATEWAY_ACCOUNT_TERMS_H

#include "billing/admission.h"
#include "lib/base/json.h"

#define CONCURRENCY_MAX 1000000

/* Texts are borrowed. */
struct account_terms {
    const char *id, *currency, *mode;
    int64_t credit_limit, concurrency, rpm, tpm; /* the last three: 0 is no limit */
    int64_t budget_day, budget_month;            /* nanos; 0: none */
    const char *zone; /* of whose days and months these are; "": the platform's */
    const char *model; /* of a change: the budgets are the account's for this model; null: its own */
};

/* The members credit_limit, concurrency, rpm, tpm, budget_day, budget_month and zone, where the body has them. The mode must be set. */
bool account_limits_read(const json_t *body, struct account_terms *t, struct err *err) MUST_USE;
/* "rpm" and "tpm" alone, of an account or a key; a missing one leaves its value. */
bool rate_limits_read(const json_t *body, int64_t *rpm, int64_t *tpm, struct err *err) MUST_USE;
/* "budget_day" and "budget_month", of an account or a key; likewise. */
bool budgets_read(const json_t *body, int64_t *day, int64_t *month, struct err *err) MUST_USE;
/* Those that `names` has, or both when it is null. */
void budgets_write(struct jw *w, int64_t day, int64_t month, const json_t *names);
/* The member "zone"; null for the platform's. */
void zone_write(struct jw *w, const char *zone);
/* The terms that an account has. */
struct account_terms account_terms_of(const char *id, const struct account_state *state);
bool account_terms_equal(const struct account_terms *a, const struct account_terms *b);
/* Who changes what, when. */
struct account_stamp {
    int64_t revision, at;
    const char *op;
};
/* The body of a record that opens an account: all its terms. */
void account_terms_write(const struct account_terms *t, const struct account_stamp *stamp, struct buf *record);
/* The body of one that changes limits: those that `body` names, with their values in `t`. */
void account_change_write(const struct account_terms *t, const json_t *body, const struct account_stamp *stamp,
                          struct buf *record);
/* What a change of the budgets for a model is answered with: those that `body` names. */
void account_model_answer(const struct account_terms *t, const json_t *body, const char *op, bool is_repeated, struct buf *out);
/* What any other is answered with: the terms as they are then; and whether the operation was booked before, so that nothing was changed now. */
void account_terms_answer(const struct account_terms *t, const char *op, bool is_repeated, struct buf *out);

#endif
