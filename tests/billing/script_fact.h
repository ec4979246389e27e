/* script_fact.h - the small world of the model test: a few writers, accounts, keys and calls in four partitions, and the
 * records about them. All are numbers here; the texts that Redis knows them by stand at the end. */
#ifndef TOLLGATE_TESTS_SCRIPT_FACT_H
#define TOLLGATE_TESTS_SCRIPT_FACT_H

#include "billing/setting.h"

#define INSTALLATION "inst-1"
#define WRITERS      3
#define ACCOUNTS     4
#define KEYS         6
#define FIRST_KEYS   4 /* the others descend from them by rotation */
#define REQUESTS     96
#define OPS          5
#define SETTING_OPS  10 /* of an account or a key */
#define MODELS       4
#define PERIODS      2
#define CURRENCIES   2
#define IDEMS        2 /* idempotency keys of an account */
#define ZONES        3 /* the first is the platform's */
#define SCOPES_LIST  "[\"call\"]"
#define MODELS_LIST  "[\"a/*\"]"
#define ACCESS_TEXT  48
#define STORED       "an-answer"
#define STORED_MOST  53 /* bytes that an account may store in 24 hours: half of them at once */
#define DAY_MS       INT64_C(86400000)
#define PLACES       4 /* partitions: two of accounts, two of models */

/* What a record of an account or a key sets: a creation all but the state. */
enum set {
    SETS_WHOLE = 1, /* what is set at creation alone */
    SETS_LIMIT = 2,
    SETS_CONCURRENCY = 4,
    SETS_RPM = 8,
    SETS_TPM = 16,
    SETS_EXPIRY = 32,
    SETS_MODELS = 64,
    SETS_BUDGETS = 128,
    SETS_SCOPES = 256,
    SETS_HASH = 512,
    SETS_ZONE = 16384, /* of an account */
    SETS_ALL = 1023 + SETS_ZONE,
    SETS_STATE = 1024,
    SETS_ROTATION = 2048, /* of the key that replaces another */
    SETS_REPLACED = 4096, /* of that other one */
    SETS_MODEL_BUDGETS = 8192 /* of an account, for `model`: nothing else then */
};

/* A record, as the journal of its writer has it. */
struct fact {
    enum record_kind kind;
    bool is_unreadable; /* a member is missing */
    bool is_past;       /* when it is applied, it is archived and no longer recent */
    unsigned writer;
    enum partition_side side; /* of a lost record: the one it is on */
    uint64_t n[SIDES];        /* its number in its partition of each side; 0: none */
    uint32_t crc;
    unsigned subject; /* account of a call, a refund, an account or a credit; key; object */
    unsigned request, model, period, orig_period, currency, op, owner, key;
    int64_t amount, charged, tokens, limit, concurrency, rpm, tpm, revision;
    int64_t budget_day, budget_month; /* 0: none */
    struct {
        bool is_there;
        int64_t day, month;
    } model_budgets[MODELS]; /* of an account as it is in the end */
    int64_t spent, taken, left;       /* of a grant the first, of an expiry all */
    int64_t at, expires_at;           /* nanos; expires_at 0: never */
    bool has_idem, is_complete;       /* of a call: it carried the idempotency key `idem` */
    unsigned idem, idem_body;
    int64_t started_ms;
    unsigned zone;              /* of an account; of a call: on whose day it began */
    enum setting_form form;     /* of an account or a key */
    unsigned sets;              /* likewise: of enum set */
    bool is_revoked, is_postpaid, is_of_creator, has_models, has_scopes;
    int64_t grace, replaced_until; /* of a key that replaces the first of its line */
    unsigned replaced_by;          /* of the other, once it was: a key; 0: it was not */
    unsigned hash_writer;          /* of a key in the model: whose record gave it its hash */
    uint64_t hash_n;
    char body[48]; /* of the catalogue */
    char line[800];
};

/* Which of the places it goes to on that side, when it goes there at all. */
unsigned fact_place(const struct fact *f, enum partition_side side);
bool fact_is_on(const struct fact *f, enum partition_side side);
/* The JSON that says it, without the head; needs no numbers yet. */
void fact_body(const struct fact *f, struct buf *out);
/* " name=value …" of what an account's or a key's record sets. */
void fact_values(const struct fact *f, struct buf *out);
/* Gives `line` and `crc`, once it has its numbers. */
void fact_compose(struct fact *f);
/* What a key opens that has these lists. */
const char *access_text(bool has_scopes, bool has_models);
/* "2026-11-22" there. */
const char *zone_day(unsigned zone, int64_t ms, char out[DAY_TEXT]);
/* When the call ended. */
int64_t fact_ended_ms(const struct fact *f);

/* Account and key live in the place that is their number mod 2, model m in place 2 + m mod 2. */
extern const struct partition places[PLACES];
extern const char *const writer_texts[WRITERS];
extern const char *const currency_texts[CURRENCIES];
extern const char *const zone_texts[ZONES];
extern const char *const first_ways[2][2]; /* of webhooks and notices: begun, over */
extern const char *const period_texts[PERIODS];
extern const char *const day_texts[PERIODS]; /* on which all calls of the period ended */
#define ACCOUNT_FMT         "acct%u"
#define KEY_FMT             "17key%u"
#define REQUEST_FMT         "req_%02u"
#define RUN_FMT             "run-%u"
#define DIGEST_FMT          "%032x"
#define MODEL_FMT           "demo/m%u"
#define TERMS_FMT           "%s demo@1 7000 demo:1"          /* currency */
#define GROSS_FMT           MODEL_FMT " %s " TERMS_FMT       /* model, day, currency */
#define RETURN_FMT          "%s %s " MODEL_FMT " " TERMS_FMT /* period, its period, model, currency */
#define HOLD_FMT            "%" PRId64 " %s %" PRId64        /* amount, writer, renewed */
#define FIRST_FMT           "id%u-%u"                        /* account, which */
#define FIRST_BODY_FMT      "{\"says\":%" PRId64 "}"
#define account_of(request) ((request) % ACCOUNTS)
#define model_of(request)   ((request) / ACCOUNTS % MODELS)
#define first_key_of(key)   ((key) % FIRST_KEYS)

#endif
