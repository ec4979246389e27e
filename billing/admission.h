/* admission.h - may this call run? One script call in the account's partition decides and places a hold, atomically over account and key.
 *
 * A hold is an entry (request id, writer, amount) for the most that the call can cost. It ends when the call's END is applied, when it is released, or when the
 * sweeper finds it unrenewed by two looks 60 s apart. Workers renew theirs every 10 s and put them again after Redis lost them, or was away when the call began. Concurrency is the count of entries. */
#ifndef TOLLGATE_BILLING_ADMISSION_H
#define TOLLGATE_BILLING_ADMISSION_H

#include "billing/claim.h"
#include "billing/offline.h"
#include "lib/net/redis.h"

enum verdict {
    VERDICT_ADMITTED,      /* by Redis, or, while that is away, within the account's allowance (offline.h) */
    VERDICT_CREDIT,        /* the hold is more than what is left */
    VERDICT_CONCURRENCY,   /* as many calls are open as the account may have */
    VERDICT_BUDGET,        /* what the account, the key, or the account with this model may spend this day or month does not cover it */
    VERDICT_RATE,          /* requests or tokens come faster than the account or the key may */
    VERDICT_TOO_LARGE,     /* the call may use more tokens than are allowed in a minute */
    VERDICT_KEY_UNKNOWN, VERDICT_KEY_REVOKED, VERDICT_KEY_EXPIRED,
    VERDICT_KEY_CHANGED,   /* it opens something else than the caller knows: to be read again, and asked again */
    VERDICT_ACCOUNT_UNKNOWN,
    VERDICT_CURRENCY,      /* the account is in another currency than the call is priced in */
    VERDICT_CLAIMED,       /* another call runs with this idempotency key */
    VERDICT_ANSWERED,      /* one was answered */
    VERDICT_OTHER_BODY,    /* one has this key and asked for something else */
    VERDICT_RECOVERING,    /* after waiting: the partition's writers have not all come back yet */
    VERDICT_UNAVAILABLE,   /* Redis is away or did not answer: unknown, so no */
    VERDICT_WRONG_REDIS,   /* another installation's data */
};

/* Limits a minute (GCRA, scripts/rate.lua), kept by Redis's clock. */
enum rate { RATE_REQUESTS, RATE_TOKENS, RATES };
#define RATE_MAX INT64_C(100000000) /* a limit is at most this */
struct rate_left {
    int64_t limit; /* a minute; 0: none */
    int64_t left;
    int64_t full_at; /* nanos: when all is left again, if nothing more is asked for */
};

struct admission_answer {
    enum verdict verdict;
    struct money left;       /* credit still free: before the hold when refused, after it when admitted */
    int64_t open, open_max;  /* calls running, and how many may */
    int64_t retry_after_ms;  /* 0: retrying will not help by itself */
    struct rate_left rates[RATES]; /* of the account's and the key's, that with the fewest left; limit 0: unlimited, or not told */
    struct {
        bool is_of_key;
        enum rate what;
        int64_t limit, left;
    } over;               /* RATE and TOO_LARGE: what is in the way longest */
    struct {
        enum { BUDGET_OF_ACCOUNT, BUDGET_OF_KEY, BUDGET_OF_MODEL } scope; /* the account's, for that model */
        bool is_of_month;
        int64_t nanos, left;
        char model[MODEL_TEXT]; /* that the call is of */
        int64_t ends_at; /* when the day or month is over */
    } budget;             /* BUDGET: the one that is in the way longest */
    int64_t asked_tokens; /* the most that the call can use */
    char earlier[REQUEST_ID_TEXT]; /* CLAIMED, ANSWERED, OTHER_BODY: the call that has the idempotency key */
    size_t earlier_name; /* likewise: by which name, 0 being that of the request's claim, 1 the first of `also` */
};

struct admission;
struct admission_config {
    const char *installation;
    const char *writer;
    uint64_t turn;              /* journal_turn() */
    int64_t recovering_wait_ms; /* how long a call waits out RECOVERING, polling */
    int64_t stored_answers;     /* bytes that an account may have stored in any 24 h (claim.h) */
    struct offline *offline;    /* borrowed: what may go on while Redis is away; null: nothing */
};
struct admission *admission_new(struct loop *loop, struct redis *redis, const struct admission_config *config) MUST_USE;
void admission_free(struct admission *a);
DEFINE_AUTO(admission)

/* One call's hold, from admit until its END is durable or it is released. */
struct hold;
struct admission_request {
    const char *request_id, *account, *key; /* public id */
    const char *first_key; /* under whose name it counts in rates and budgets (key_state) */
    struct span key_access; /* what the key opens, as the caller read it (key_state) */
    int64_t amount_nanos;
    const char *currency, *model;
    int64_t tokens; /* the most that it can use; token rates book it */
    int64_t started_at; /* on whose day and in whose month it counts */
    const char *zone; /* that the account is thought to have; "": the platform's. When it has another, Redis says so, and is asked anew for that zone's day */
    const struct claim *claim; /* placed and kept with the hold; null: the call carries no idempotency key; one that has it does not go on without Redis */
    struct claim_names also; /* of that key: who claimed it by one of these has it as well */
};
typedef void admission_on_answer(void *arg, const struct admission_answer *answer, const struct err *err);
/* The answer comes exactly once, never inside this call, unless hold_abandon() is called before. Copies the request. */
struct hold *admission_admit(struct admission *a, const struct admission_request *request, admission_on_answer *on_answer, void *arg) MUST_USE;
/* The END is durable and charges that much: the apply script removes the entry. Frees the hold (also when it was refused). */
void hold_settled(struct hold *h, int64_t charged_nanos);
/* Another call was given this one's idempotency key after Redis had lost the claim: this one may not be answered. */
bool hold_claim_is_lost(const struct hold *h);
/* No other call can have been given the key: Redis said within the last 8 s that the claim stands, and one that loses claims gives none away for 10 s
 * unless their writers are back. When it is not sure, hold_claim_ask() asks; the answer shows here. */
bool hold_claim_is_sure(const struct hold *h);
void hold_claim_ask(struct hold *h);
/* There will be no END (refused, or failed before BEGIN): removes the entry, also one placed by an admit whose answer never came. Frees the hold. */
void hold_abandon(struct hold *h);
int64_t hold_amount(const struct hold *h);
/* The zone of the account, as far as Redis was asked; "": the platform's. */
const char *hold_zone(const struct hold *h);
/* The day on which the call counts, when the account has a zone of its own; else "". */
const char *hold_began_on(const struct hold *h);

/* How many holds stand in Redis by this process, or are being asked for. */
size_t admission_holds(const struct admission *a);

/* Claims of the same writer, for what becomes of them once a call has ended. */
struct claims *admission_claims(struct admission *a);

/* After Redis came back under another run_id: puts every open hold again, then calls back. */
void admission_put_again(struct admission *a, void (*on_done)(void *), void *arg);

#define PEPPER_ID_TEXT 9 /* 8 hex digits: under which pepper a key was hashed (gateway/pepper.h) */

/* Reading and changing what belongs to accounts is by records (record.h); these read the projection. Replies as redis gives them. */
struct key_state {
    char owner_kind; /* 'a' account, 'c' creator */
    char owner[ID_TEXT];
    unsigned char hash[32];
    char first_key[KEY_ID_PUBLIC];   /* where its rotations began; of most it is itself */
    char replaced_by[KEY_ID_PUBLIC]; /* "": it was not */
    char pepper[PEPPER_ID_TEXT]; /* the hash is made with it */
    bool revoked;
    int64_t expires_at; /* 0: never */
    int64_t rpm, tpm;   /* 0: no limit */
    int64_t budget_day, budget_month; /* nanos, 0: none */
    struct span access; /* JSON: what it opens (gateway/key_access.h); empty: everything. Good during the callback */
};
/* Key "tg:{a17}:key:<public id>", whose partition the public id's first two characters name (decimal). found: false when absent.
 * ERR_UNAVAILABLE while that partition's writers have not all come back to this Redis. */
typedef void key_on_state(void *arg, bool found, const struct key_state *state, const struct err *err);
void key_read(struct redis *redis, const char *public_id, key_on_state *on_state, void *arg);
/* The server that has the key's partition is there: what it can't tell now (ERR_UNAVAILABLE) it soon can. */
bool key_server_is_ready(const struct redis *redis, const char *public_id);

#define GRANTS_SHOWN 32
struct account_state {
    char currency[CURRENCY_TEXT];
    bool prepaid, opened;
    int64_t balance, credit_limit, room; /* nanos; room = balance + credit_limit - holds */
    int64_t concurrency, open;           /* limit (0: none) and calls running */
    int64_t rpm, tpm;                    /* 0: no limit */
    int64_t budget_day, budget_month;    /* nanos, 0: none */
    char zone[ZONE_TEXT];                /* whose days and months these are; "": the platform's */
    int64_t spent;                       /* what its calls have cost in all */
    int64_t granted;                     /* of the balance: what is unspent of grants */
    size_t grant_count;                  /* that are not over; the first GRANTS_SHOWN stand below */
    struct grant_state {
        char op[ID_TEXT];
        int64_t amount, left, expires_at;
    } grants[GRANTS_SHOWN]; /* in the order in which they are used: that which ends first */
};
typedef void account_on_state(void *arg, bool found, const struct account_state *state, const struct err *err);
void account_read(struct redis *redis, const char *account, account_on_state *on_state, void *arg);

#endif
