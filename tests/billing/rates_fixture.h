/* rates_fixture.h - for tests of rates: one account and one key with limits, on a real Redis. Its clock is its own; where time has to
 * pass, all times that the scripts keep are moved back instead. */
#ifndef TOLLGATE_TESTS_RATES_FIXTURE_H
#define TOLLGATE_TESTS_RATES_FIXTURE_H

#include "tests/billing/redis_fixture.h"

#define MINUTE  INT64_C(60000000) /* microseconds */
#define ANSWERS 17

extern struct fixture redis;
extern uint64_t seed;     /* of draw() */
extern uint64_t records;  /* that end() shipped */
extern int64_t passed_us; /* by which times were moved back */

void start(void);
void stop(void);

uint64_t draw(uint64_t below);
void set(const char *format, ...) PRINTF_LIKE(1, 2); /* any command, as hiredis spells it */
/* Nothing but the account, its key and these limits; 0: none. */
void open_account(int64_t rpm, int64_t tpm, int64_t key_rpm, int64_t key_tpm);

/* The script's answer in words: word, left, open, most, currency, mode, then what rates are told. */
struct answer {
    char text[256];
    const char *word[ANSWERS];
    int count;
};
int64_t number(const struct answer *a, int i);
bool is(const struct answer *a, const char *word);

struct answer *admit_for(struct answer *a, const char *request, int64_t tokens, const char *amount);
struct answer *admit(struct answer *a, unsigned request, int64_t tokens);
void release(unsigned request);
/* The call's END: it used so many tokens. */
void end(unsigned request, int64_t used);
/* Moves every time that rates and entries keep back by so much. */
void pass(int64_t us);
/* Redis's clock, with what was passed. */
int64_t now_us(void);

#endif
