/* script_model.h - what billing/scripts/README.md promises of one partition, said a second time and another way: no Lua,
 * no Redis, and no sums that are kept. The model keeps which records were booked, and every amount is added up anew
 * from them whenever it is asked for. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_H

#include "billing/money.h"
#include "tests/billing/script_fact.h"

#define RECORDS_MAX 600
#define BATCH_MAX   8
#define ENTRIES_MAX 3
#define MARK_MS     120000
#define LOOK_MS     60000

enum scope { OF_ACCOUNT, OF_KEY };
#define SCOPES 2

/* What a call booked of a token rate, in microseconds. */
struct share {
    bool is_there;
    int64_t cost, finish, given;
};

struct model_hold {
    bool is_there;
    int64_t amount, renewed_ms;
    unsigned writer, key; /* the first of its rotations */
    char day[DAY_TEXT];   /* on which it counts */
    int64_t tokens;
    struct share shares[SCOPES];
};

struct model_rate {
    int64_t requests, tokens; /* up to when it is booked, in microseconds; 0: never */
    int64_t given, ends_ms;
};

struct model_claim {
    bool is_answered; /* else it is open, and its writer's */
    unsigned request, body, writer, turn;
    int64_t ends_ms, gone_ms;
};

#define SWEPT_MAX 512
struct model {
    struct partition partition;
    bool is_installed;
    bool is_rebuilding;
    bool has_refunds[REQUESTS];
    char applying[64], parked[128];
    unsigned run, pending_run; /* 0: none */
    int64_t pending_since, pending_last;
    bool pending_blank, blank_is_emptied;
    struct {
        unsigned run;   /* 0: it is behind, or has only come */
        unsigned token; /* then: what it came under; 0: it has to come anew */
        int64_t ms;     /* 0: it never said a word */
        unsigned turn;
    } live[WRITERS];
    enum fence { NOT_RETIRED, FENCED, OVER } fences[WRITERS];
    struct record_cursor cursors[WRITERS], before[WRITERS]; /* it was emptied last */
    struct {
        const struct fact *fact;
        const char *reason; /* why it stands in suspense; null: it counts */
    } booked[RECORDS_MAX];
    size_t booked_count;
    struct model_hold holds[REQUESTS], seen[REQUESTS]; /* now, and at the sweeper's last look */
    struct {
        unsigned run; /* 0: there was no look */
        int64_t ms;
    } looks[ACCOUNTS];
    bool held[ACCOUNTS];
    struct {
        unsigned request;
        struct model_hold hold;
    } swept[SWEPT_MAX];
    size_t swept_count;
    int64_t released_until[REQUESTS]; /* ms */
    struct model_rate rates[SCOPES][ACCOUNTS];
    struct model_claim claims[ACCOUNTS][IDEMS];
    struct model_reserve {
        bool is_there;
        int64_t amount, taken, ms;
        unsigned op, writer;
    } reserves[ACCOUNTS]; /* what is set aside to be taken back of a grant */
    int64_t answer_gone_ms[REQUESTS];
    int64_t stored_until_ms[ACCOUNTS]; /* when nothing is booked any more of what was stored */
};
_Static_assert(FIRST_KEYS <= ACCOUNTS, "as many rates are kept of keys as of accounts");

void model_init(struct model *m, struct partition p);

/* What is asked of each script; the answers are spelled as fixture_ask() spells them, and the caller frees them. */
struct apply_ask {
    unsigned writer;
    const struct fact *facts[BATCH_MAX];
    size_t count;
    bool is_archived; /* fed by the archive, not by the writer's process */
    bool is_stranger; /* of another installation */
};
struct admit_ask {
    unsigned account, key, request, writer, currency, run;
    int64_t amount, tokens, now_nanos; /* 0: Redis's time */
    unsigned zone;         /* that whoever asks takes the account to have */
    char day[DAY_TEXT];    /* on which the call began there */
    bool knows_models, knows_scopes; /* as what whoever asks takes what the key opens */
    bool has_idem, has_other_name;   /* which is that of the other idempotency key */
    unsigned idem, body, turn;
    int64_t ends_ms;
    bool is_stranger;
};
enum verb { RENEW, RELEASE };
struct hold_ask {
    unsigned account, key, writer;
    char day[DAY_TEXT]; /* of all that are put again */
    enum verb verb;
    struct {
        unsigned request;
        int64_t amount;
    } entries[ENTRIES_MAX];
    size_t count;
    bool is_stranger;
};
struct recovered_ask {
    unsigned writer, run, turn, token;
    bool is_coming; /* else it is back */
    bool is_again;  /* the process admitted calls before */
    uint64_t n;
    bool is_new; /* the writer has never recorded anything */
    bool is_stranger;
};
struct retired_ask {
    unsigned writer;
    bool is_over; /* else it is fenced off */
    uint64_t n;
    bool is_stranger;
};
enum answer_verb { OPEN, ANSWERED, FAILED };
struct answer_ask {
    bool has_other_name;
    unsigned account, request, writer, idem, body, turn;
    enum answer_verb verb;
    int64_t ends_ms;
    bool is_stored, is_stranger;
};
enum rebuild_verb { PARK, DELETE, EMPTY, DONE };
struct rebuild_ask {
    enum rebuild_verb verb;
    bool is_stranger;
};
struct grants_ask {
    unsigned account, op, writer, run;
    int64_t now_nanos;
    bool is_look; /* else it is to be taken back */
    bool is_stranger;
};
struct sweep_ask {
    unsigned account, run;
    bool is_stranger;
};
char *model_apply(struct model *m, const struct apply_ask *ask, int64_t now_us);
char *model_admit(struct model *m, const struct admit_ask *ask, int64_t now_us);
char *model_hold(struct model *m, const struct hold_ask *ask, int64_t now_us);
char *model_recovered(struct model *m, const struct recovered_ask *ask, int64_t now_us);
char *model_retired(struct model *m, const struct retired_ask *ask);
char *model_answer(struct model *m, const struct answer_ask *ask, int64_t now_us);
/* DELETE deletes all that may go. */
char *model_rebuild(struct model *m, const struct rebuild_ask *ask);
/* Removed holds stand in the order of their requests. */
char *model_sweep(struct model *m, const struct sweep_ask *ask, int64_t now_us);

/* Everything that Redis then holds of the partition: a line a fact, in any order. */
void model_render(const struct model *m, int64_t now_us, struct buf *out);
void model_render_hold(const struct model_hold *h, unsigned request, struct buf *out); /* its entry */

/* What the answers and the lines are made of (script_model_sums.c). */
/* The account or key as all of its records together set it (script_model_terms.c); false: nothing has created it. */
bool model_account(const struct model *m, unsigned account, struct fact *out);
bool model_key(const struct model *m, unsigned key, struct fact *out);
int128 model_balance(const struct model *m, unsigned account, unsigned currency);
int128 model_room(const struct model *m, unsigned account);
/* The i-th record booked, when it is money that no call moves and stands in no suspense; else null. */
const struct fact *model_funds(const struct model *m, size_t i);
/* By (at, writer, n). */
bool model_comes_before(const struct fact *a, const struct fact *b, enum partition_side side);
bool model_is_first_of_its_op(const struct model *m, const struct fact *credit);
/* All refunds of a call, of each operation the first, in the order in which they count. */
struct refunds {
    struct {
        const struct fact *fact;
        bool counts;
    } list[OPS];
    size_t count;
};
void model_refunds(const struct model *m, unsigned request, struct refunds *out);

unsigned model_open_holds(const struct model *m, unsigned account);
/* As far as is remembered: what is past stands in the archive alone. */
bool model_was_charged(const struct model *m, unsigned request);
/* Charged, or released less than two minutes ago: what still comes for the call places nothing. */
bool model_is_over(const struct model *m, unsigned request, int64_t now_us);

extern const char *const fence_texts[], *const verb_texts[], *const answer_texts[],
                                                                 *const rebuild_texts[];
#define REBUILD_REASON "it-is-rebuilt"

#endif
