/* claim_fixture.h - calls that carry an idempotency key, as the scripts are asked about them: one account, one partition. */
#ifndef TOLLGATE_TESTS_CLAIM_FIXTURE_H
#define TOLLGATE_TESTS_CLAIM_FIXTURE_H

#include "tests/billing/redis_fixture.h"

#define DAY_MS INT64_C(86400000)
#define BODY   "0011223344556677001122334455667788"
#define OTHER  "ffffffffffffffff0011223344556677ff"
#define MOST   "48" /* bytes of answers that the account may store in 24 hours: half at once */

struct call {
    const char *request, *body, *amount, *writer, *turn;
    int64_t late_ms; /* how long after the test's beginning it begins, by the platform's clock */
    const char *key; /* the idempotency key; null: "k" */
    const char *other; /* another name of it; null: it has one */
};

extern struct fixture redis;
extern int64_t begun_ms; /* when the calls of a test began: now */

/* A partition without calls. */
void open_partition(void);
void set(const char *format, ...);
/* Evaluates a script; `keys` and `args` are texts that end with null. The caller frees the answers. */
char *run(enum script s, const char *const *keys, const char *const *args);
char *admit(struct call c);
char *tell(const char *verb, struct call c, const char *stored);
/* The END of a call is applied as a writer's record n. */
char *apply(struct call c, const char *n, const char *state, const char *left_ms);
char *report(const char *writer, const char *n, const char *turn);
/* The writer was retired; what that is when all is over: its archive ends at record n. */
char *fence(const char *writer);
char *retire(const char *writer, const char *n);

#endif
