/* admission_fixture.h - for tests of admission: one that asks a real Redis, which holds an account with a room of five units and its
 * key. */
#ifndef TOLLGATE_TESTS_ADMISSION_FIXTURE_H
#define TOLLGATE_TESTS_ADMISSION_FIXTURE_H

#include "billing/admission.h"
#include "tests/billing/redis_fixture.h"

#define WAIT_MS 60000
#define LOOK_MS 5
#define CALLS   200

/* One call and what it was told. */
struct call {
    struct hold *hold;
    bool is_answered, has_failed;
    unsigned answers;
    struct admission_answer answer;
    struct err err;
};

extern struct fixture fixture;
extern struct loop *loop;
extern struct redis *redis;
extern struct admission *admission;
extern char partition[PARTITION_NAME]; /* of the account "acct" */
extern bool is_ready;                  /* Redis */

void start(void);
void stop(void);

void set(const char *format, ...);     /* any command, as hiredis spells it */
void open_partition(const char *room); /* the account and its key are there, whatever was */
void turn(int64_t ms);
void set_flag(void *arg); /* a bool */

void on_answer(void *arg, const struct admission_answer *answer, const struct err *err);
void ask(struct call *c, const char *request_id, int64_t nanos);
void await(struct call *c);
enum verdict verdict_of(const char *request_id, int64_t nanos); /* the call ends then */

void expect_field(const char *what, const char *field, const char *expected);
/* Until the field says so, or what stands there instead. */
void await_field(const char *what, const char *field, const char *expected);

#endif
