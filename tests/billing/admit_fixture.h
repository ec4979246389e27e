/* admit_fixture.h - one account and one key in a partition on a real Redis, and the scripts that admit their calls and hold their
 * amounts. Where a script waits, a test moves the times that it keeps instead of waiting itself. */
#ifndef TOLLGATE_TESTS_ADMIT_FIXTURE_H
#define TOLLGATE_TESTS_ADMIT_FIXTURE_H

#include "tests/billing/redis_fixture.h"

extern struct fixture redis;

void start_redis(void);
void stop_redis(void);

/* Evaluates a script; `keys` and `args` are texts that end with null. Caller frees the answer, as of all below. */
char *run(enum script s, const char *const *keys, const char *const *args);
void expect(char *answer, const char *expected);                             /* frees it */
void expect_field(const char *key, const char *field, const char *expected); /* of tg:{a17}:KEY */
void expect_nothing_changed(const char *before);                             /* a fixture_dump() */
void set(const char *format, ...); /* any command, as hiredis spells it */
int64_t now_ms(void);              /* Redis's clock */

/* Nothing but the account "acct", with a room of 100 and two calls at once, and its key "17key". */
void open_partition(void);

struct admit {
    const char *installation, *run, *key, *account, *request, *amount, *now;
    const char *currency, *tokens;
};
extern const struct admit usual; /* of 40 */

char *admit(struct admit a);
char *admit_call(const char *request, const char *amount);
char *hold(const char *verb, const char *request, const char *amount);

#endif
