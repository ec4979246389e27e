/* admission_read.c - keys and accounts as the projection has them. */
#include "billing/admission.h"
#include "billing/partition_server.h"
#include "billing/scripts.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/* Its answers may come in any order, when servers change meanwhile; the last tells the caller. */
struct key_reader {
    struct redis *redis;
    struct partition partition;
    char public_id[KEY_ID_PUBLIC]; /* "": what was asked for is none */
    uint64_t term;
    unsigned waiting;
    bool is_recovered;
    bool found, failed;
    struct key_state state;
    char *access; /* the text that the state's points to */
    struct err err;
    key_on_state *on_state;
    void *arg;
};

/* Likewise. */
struct account_reader {
    unsigned waiting;
    int64_t balance, room; /* at the look at its grants, so that all of these agree */
    struct account_state state;
    struct err err;
    bool found, failed;
    account_on_state *on_state;
    void *arg;
};

static bool partition_of_key(const char *public_id, struct partition *out);
static void on_partition_state(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_key(void *arg, const struct redis_reply *reply, const struct err *err);
static void key_is_read(struct key_reader *k);
static bool is_at(const struct key_reader *k);
static bool take_key(const struct redis_reply *reply, const char *public_id, struct key_state *out);
static bool text_at(const struct redis_reply *reply, size_t i, char *out, size_t size);
static bool number_at(const struct redis_reply *reply, size_t i, int64_t *out);
static void on_account(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_account(const struct redis_reply *reply, struct account_state *out);
static void on_open_holds(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_grants(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_grants(const struct redis_reply *reply, struct account_reader *a);
static void account_failed(struct account_reader *a, const struct err *err);
static void account_is_read(struct account_reader *a);
static bool answer_is(const struct redis_reply *reply, enum redis_type type, const struct err **err,
                      struct err *wrong);

void key_read(struct redis *redis, const char *public_id, key_on_state *on_state, void *arg)
{
    struct key_reader *k = xcalloc(1, sizeof *k);
    struct partition p = {SIDE_ACCOUNT, 0};
    char state[PARTITION_KEY], key[PARTITION_KEY];

    k->redis = redis;
    k->on_state = on_state;
    k->arg = arg;
    k->waiting = 3;
    k->is_recovered = true;
    if (!partition_of_key(public_id, &p) ||
        !span_copy(span_of(public_id), k->public_id, sizeof k->public_id))
        public_id = "";
    k->partition = p;
    k->term = partition_term(redis, p);
    const struct span is_recovered[] = {SPAN("HGET"), partition_key(p, "state", NULL, state),
                                        SPAN("run_id")};
    const struct span command[] = {SPAN("HMGET"),      partition_key(p, "key", public_id, key),
                                   SPAN("owner_kind"), SPAN("owner"),
                                   SPAN("hash"),       SPAN("state"),
                                   SPAN("expires_at"), SPAN("rpm"),
                                   SPAN("tpm"),        SPAN("access"),
                                   SPAN("budget_day"), SPAN("budget_month"),
                                   SPAN("first_key"),  SPAN("replaced_by"),
                                   SPAN("pepper")};
    redis_command(redis, is_recovered, ARRAY_LEN(is_recovered), on_partition_state, k);
    redis_command(redis, command, ARRAY_LEN(command), on_key, k);
    redis_command(redis, is_recovered, ARRAY_LEN(is_recovered), on_partition_state, k);
}

bool key_server_is_ready(const struct redis *redis, const char *public_id)
{
    struct partition p;

    return partition_of_key(public_id, &p) && partition_is_ready(redis, p);
}

/* An id that names no partition is looked up under no name, where nothing is. */
static bool partition_of_key(const char *public_id, struct partition *out)
{
    uint64_t index;

    if (strlen(public_id) != KEY_ID_PUBLIC - 1 || !id_is_valid(span_of(public_id)) ||
        !digits_parse((struct span){public_id, 2}, PARTITIONS - 1, &index))
        return false;
    *out = (struct partition){SIDE_ACCOUNT, (unsigned)index};
    return true;
}

/* Asked before and after: what was emptied in between has lost its keys. */
static void on_partition_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct key_reader *k = arg;

    k->is_recovered =
        k->is_recovered && !err && redis_reply_type(reply) == REDIS_TEXT &&
        span_equal(redis_reply_text(reply), span_of(partition_run_id(k->redis, k->partition)));
    key_is_read(k);
}

static void on_key(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct key_reader *k = arg;

    k->failed = !answer_is(reply, REDIS_ARRAY, &err, &k->err);
    if (k->failed && err != &k->err)
        k->err = *err;
    k->found = !k->failed && redis_reply_type(redis_reply_at(reply, 0)) != REDIS_NIL;
    if (k->found && take_key(reply, k->public_id, &k->state))
        k->state.access = span_of(k->access = xstrndup(k->state.access.data, k->state.access.len));
    else if (k->found)
        k->failed = !err_set(&k->err, ERR_CORRUPT, "a key's entry in Redis is malformed");
    key_is_read(k);
}

/* A Redis that lost its end may lack a key, or its revocation, until all writers have come back. */
static void key_is_read(struct key_reader *k)
{
    struct key_reader read = *k;
    bool is_here = is_at(k);

    if (--k->waiting > 0)
        return;
    free(k);
    if (!read.failed && (!read.is_recovered || !is_here))
        read.failed =
            !err_set(&read.err, ERR_UNAVAILABLE, "Redis is being brought up to the journals");
    read.on_state(read.arg, read.found && !read.failed,
                  read.found && !read.failed ? &read.state : NULL, read.failed ? &read.err : NULL);
    free(read.access);
}

/* Both answers are of the same server. */
static bool is_at(const struct key_reader *k)
{
    return partition_term(k->redis, k->partition) == k->term;
}

/* A key that replaced none is its own first one. */
static bool take_key(const struct redis_reply *reply, const char *public_id, struct key_state *out)
{
    struct span first = redis_reply_text(redis_reply_at(reply, 10));
    char kind[16], state[16];

    if (!text_at(reply, 0, kind, sizeof kind) || !text_at(reply, 1, out->owner, ID_TEXT) ||
        !hex_decode(redis_reply_text(redis_reply_at(reply, 2)), out->hash, sizeof out->hash) ||
        !text_at(reply, 3, state, sizeof state) || !number_at(reply, 4, &out->expires_at) ||
        !number_at(reply, 5, &out->rpm) || !number_at(reply, 6, &out->tpm) ||
        !number_at(reply, 8, &out->budget_day) || !number_at(reply, 9, &out->budget_month) ||
        !span_copy(first.len ? first : span_of(public_id), out->first_key, KEY_ID_PUBLIC) ||
        !span_copy(redis_reply_text(redis_reply_at(reply, 11)), out->replaced_by, KEY_ID_PUBLIC) ||
        !text_at(reply, 12, out->pepper, sizeof out->pepper))
        return false;
    out->access = redis_reply_text(redis_reply_at(reply, 7));
    out->owner_kind = kind[0];
    out->revoked = strcmp(state, "active") != 0;
    return true;
}

static bool text_at(const struct redis_reply *reply, size_t i, char *out, size_t size)
{
    return span_copy(redis_reply_text(redis_reply_at(reply, i)), out, size) && out[0];
}

/* Absent is zero. */
static bool number_at(const struct redis_reply *reply, size_t i, int64_t *out)
{
    const struct redis_reply *item = redis_reply_at(reply, i);

    *out = 0;
    return redis_reply_type(item) == REDIS_NIL || int64_parse(redis_reply_text(item), out);
}

void account_read(struct redis *redis, const char *account, account_on_state *on_state, void *arg)
{
    struct account_reader *a = xcalloc(1, sizeof *a);
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(account));
    char account_key[PARTITION_KEY], holds_key[PARTITION_KEY];
    char state_key[PARTITION_KEY], grants_key[PARTITION_KEY];
    const struct span fields[] = {
        SPAN("HMGET"),        partition_key(p, "account", account, account_key),
        SPAN("opened"),       SPAN("currency"),
        SPAN("mode"),         SPAN("balance"),
        SPAN("credit_limit"), SPAN("room"),
        SPAN("concurrency"),  SPAN("rpm"),
        SPAN("tpm"),          SPAN("budget_day"),
        SPAN("budget_month"), SPAN("zone")};
    const struct span holds[] = {SPAN("HLEN"), partition_key(p, "holds", account, holds_key)};
    const struct span keys[] = {partition_key(p, "state", NULL, state_key), fields[1],
                                partition_key(p, "grants", account, grants_key)};
    const struct span args[] = {SPAN("look")};
    const struct redis_eval look = {script_get(SCRIPT_GRANTS), REDIS_WORDS(keys),
                                    REDIS_WORDS(args)};

    a->on_state = on_state;
    a->arg = arg;
    a->waiting = 3;
    redis_command(redis, fields, ARRAY_LEN(fields), on_account, a);
    redis_command(redis, holds, ARRAY_LEN(holds), on_open_holds, a);
    redis_eval(redis, &look, on_grants, a);
}

static void on_account(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct account_reader *a = arg;

    if (answer_is(reply, REDIS_ARRAY, &err, &a->err))
        a->found = take_account(reply, &a->state);
    else
        account_failed(a, err);
    account_is_read(a);
}

/* An account that only calls have touched exists, unopened, and has no currency yet. */
static bool take_account(const struct redis_reply *reply, struct account_state *out)
{
    char mode[16] = "";

    out->opened = redis_reply_type(redis_reply_at(reply, 0)) != REDIS_NIL;
    if (!out->opened && redis_reply_type(redis_reply_at(reply, 5)) == REDIS_NIL)
        return false;
    if (out->opened &&
        (!text_at(reply, 1, out->currency, CURRENCY_TEXT) || !text_at(reply, 2, mode, sizeof mode)))
        return false;
    out->prepaid = strcmp(mode, "prepaid") == 0;
    return number_at(reply, 4, &out->credit_limit) && number_at(reply, 6, &out->concurrency) &&
           number_at(reply, 7, &out->rpm) && number_at(reply, 8, &out->tpm) &&
           number_at(reply, 9, &out->budget_day) && number_at(reply, 10, &out->budget_month) &&
           span_copy(redis_reply_text(redis_reply_at(reply, 11)), out->zone, sizeof out->zone);
}

static void on_open_holds(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct account_reader *a = arg;

    if (answer_is(reply, REDIS_INT, &err, &a->err))
        a->state.open = redis_reply_int(reply);
    else
        account_failed(a, err);
    account_is_read(a);
}

static void on_grants(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct account_reader *a = arg;

    if (!answer_is(reply, REDIS_ARRAY, &err, &a->err))
        account_failed(a, err);
    else if (!take_grants(reply, a))
        a->failed = !err_set(&a->err, ERR_CORRUPT, "an account's grants in Redis are malformed");
    account_is_read(a);
}

/* {OK, balance, room, spent, then of each grant operation, nanos, left, expires}. */
static bool take_grants(const struct redis_reply *reply, struct account_reader *a)
{
    struct account_state *s = &a->state;
    struct grant_state g;

    if (!number_at(reply, 1, &a->balance) || !number_at(reply, 2, &a->room) ||
        !number_at(reply, 3, &s->spent))
        return false;
    for (size_t i = 4; i + 3 < redis_reply_count(reply); i += 4) {
        if (!text_at(reply, i, g.op, sizeof g.op) || !number_at(reply, i + 1, &g.amount) ||
            !number_at(reply, i + 2, &g.left) || !number_at(reply, i + 3, &g.expires_at))
            return false;
        s->granted += g.left;
        if (s->grant_count < GRANTS_SHOWN)
            s->grants[s->grant_count] = g;
        s->grant_count++;
    }
    return true;
}

static void account_failed(struct account_reader *a, const struct err *err)
{
    a->failed = true;
    if (err != &a->err)
        a->err = *err;
}

static void account_is_read(struct account_reader *a)
{
    struct account_reader read = *a;

    if (--a->waiting > 0)
        return;
    free(a);
    read.state.balance = read.balance;
    read.state.room = read.room;
    if (read.failed)
        read.on_state(read.arg, false, NULL, &read.err);
    else
        read.on_state(read.arg, read.found, read.found ? &read.state : NULL, NULL);
}

/* Else `err` says why: what the client said, or `wrong`. */
static bool answer_is(const struct redis_reply *reply, enum redis_type type, const struct err **err,
                      struct err *wrong)
{
    if (*err)
        return false;
    if (redis_reply_type(reply) == type)
        return true;
    err_set(wrong, ERR_UNAVAILABLE, "Redis answered: %.*s", SPAN_FMT(redis_reply_text(reply)));
    *err = wrong;
    return false;
}
