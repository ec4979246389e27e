/* apply_story.h - records of several writers for one partition of a real Redis, and the scripts that apply them. */
#ifndef TOLLGATE_TESTS_APPLY_STORY_H
#define TOLLGATE_TESTS_APPLY_STORY_H

#include "tests/billing/redis_fixture.h"

#define WRITERS      3
#define FACTS_MAX    400
#define ACCOUNTS     4
#define KEYS         3
#define OPS          6
#define OBJECTS      4
#define REFUNDED     3 /* calls of an account, or model, that money is given back of */
#define MONTHS       3
#define CHARGED      1000
#define LINE         160
#define VALUES       320
#define INSTALLATION "inst-1"

enum kind { CALL, ACCOUNT, KEY, CREDIT, CATALOGUE, REFUND };
enum form { CREATE, LIMIT, REVOKE };
#define FORMS 3
struct fact {
    enum kind kind;
    unsigned writer;
    uint64_t n;
    unsigned subject, currency, op; /* which account, key or object; which operation */
    enum form form;                 /* of an account or a key */
    bool sets_limit; /* of one that changes limits: the credit limit, else the rate */
    int64_t rpm;
    bool adjusts;         /* of a credit: it is an adjustment */
    unsigned call, month; /* of a refund; of a credit the month alone */
    int64_t amount, limit, revision, at;
    bool too_large, has_hold;
    char line[LINE];
};

struct story {
    enum partition_side side;
    struct fact facts[WRITERS][FACTS_MAX];
    size_t count[WRITERS];
};

/* The story that is told now, and the Redis it is told to. */
extern struct story story;
extern struct fixture redis;
extern const char *const writers[WRITERS];
extern const char *const currencies[2], *const forms[FORMS], *const months[MONTHS];
extern const struct partition account_partition;

void start_redis(void);
void stop_redis(void);
void expect_field(const char *key, const char *field, const char *expected);
void set_field(const char *key, const char *field, const char *value);

void begin_story(enum partition_side side);
void open_account(void); /* and its first record is applied: account 0 is opened */
/* Appends a fact to its writer's numbers. */
struct fact *tell(struct fact f);
uint32_t fact_crc(const struct fact *f);
/* What an operation of an account or a key sets. */
const char *fact_values(const struct fact *f, char out[VALUES]);
/* What a refund adds up under. */
const char *fact_sum_name(const struct fact *f, char out[64]);
void start(struct batch *b, unsigned writer);
void add_fact(struct batch *b, const struct fact *f);
/* Applies records from..to of a writer; the answer must begin as expected. */
void apply(unsigned writer, uint64_t from, uint64_t to, const char *expected);
uint64_t cursor_of(unsigned writer); /* as Redis has it */

#endif
