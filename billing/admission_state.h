/* admission_state.h - what the parts of admission share: holds, and commands on their way. */
#ifndef TOLLGATE_BILLING_ADMISSION_STATE_H
#define TOLLGATE_BILLING_ADMISSION_STATE_H

#include "billing/admission.h"
#include "billing/partition.h"

#define AMOUNT_TEXT 24

enum hold_state {
    HOLD_ASKING,  /* the admit is on its way */
    HOLD_WAITING, /* the partition is recovering: asks again */
    HOLD_REFUSED, /* there is no entry */
    HOLD_PLACED,
    HOLD_UNKNOWN, /* no answer came: there may be an entry */
};

struct hold {
    struct admission *a; /* null: the admission is gone */
    struct hold *next, **link;
    enum hold_state state;
    struct partition partition;
    char request_id[REQUEST_ID_TEXT], account[ID_TEXT];
    char key[KEY_ID_PUBLIC], first_key[KEY_ID_PUBLIC]; /* the second is by which it counts */
    char *key_access; /* what it opened when it was read */
    int64_t amount, tokens, started_at;
    char day[DAY_TEXT];   /* on which it began, in the zone of the account */
    char zone[ZONE_TEXT]; /* "": the platform's */
    const struct zone *rules; /* likewise: null */
    unsigned zone_answers; /* how often Redis named another */
    uint64_t outage; /* in which it was let go on without Redis; 0: it was not */
    char currency[CURRENCY_TEXT], model[MODEL_TEXT];
    int64_t asked_ms;
    admission_on_answer *on_answer;
    void *arg;
    struct ask *admit, *put;
    struct claim *claim; /* null: none */
    struct claim_names also;
    bool claim_is_lost;
    int64_t claim_asked_ms, claim_stood_ms; /* monotonic: when Redis was asked last; the question that it last said yes to */
};

/* A command on its way; its hold or the whole admission may be gone when the answer comes. */
struct ask {
    struct admission *a;
    struct ask *next, **link;
    struct hold *hold;
    uint64_t round;          /* of putting holds again */
    struct release *release; /* owned */
};

/* An entry that must go, and its claim. */
struct release {
    struct release *next;
    struct partition partition;
    char request_id[REQUEST_ID_TEXT], account[ID_TEXT], first_key[KEY_ID_PUBLIC];
    int64_t since_ms;
    bool entry_is_gone; /* the claim is next: once the mark of a release stands, a late admit can't place it again */
    struct claim claim; /* key "": none */
};

struct admission {
    struct redis *redis;
    struct claims *claims;
    struct zones *zones;
    char *installation, *writer, *partitions;
    int64_t recovering_wait_ms;
    struct offline *offline; /* borrowed, or null */
    struct hold *holds;
    struct ask *asks;
    struct release *releases; /* to be sent again, newest first */
    size_t release_count;
    struct timer *renew, *poll, *again, *put;
    bool is_polling; /* some hold waits */
    void (*on_put)(void *); /* null: nobody waits for a round of putting again */
    void *put_arg;
    uint64_t round;
    size_t round_pending;
    bool round_failed;
};

struct ask *ask_new(struct admission *a, struct hold *h);
/* Frees it; the admission, or null when that is gone. */
struct admission *ask_end(struct ask *ask);

#endif
