/* claim.c - claims in Redis, apart from placing them, which admit does. */
#include "billing/claim.h"

#include <stdio.h>

#include "billing/scripts.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define CLAIM_MS INT64_C(86400000)
#define FIXED    6 /* keys of answer.lua that are always there */

struct claims {
    struct redis *redis;
    char *installation, *writer, *partitions;
    uint64_t turn;
    int64_t stored_answers;
};

/* What answer.lua is asked to do. */
struct change {
    const char *verb;
    struct claim_names also;
    struct span stored;
};

/* A command on its way. */
struct claim_ask {
    claim_on_state *on_state;
    claim_on_stored *on_stored;
    void *arg;
};

static struct span claim_key(const char *account, const struct idempotency *digests,
                             char out[PARTITION_KEY]);
static void send(struct claims *c, const struct change *what, const struct claim *claim,
                 struct claim_ask *ask);
static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_get(void *arg, const struct redis_reply *reply, const struct err *err);

void claim_of(const struct event *e, struct claim *out)
{
    memcpy(out->request_id, e->request_id, sizeof out->request_id);
    memcpy(out->account, e->account, sizeof out->account);
    out->digests = e->idempotency;
    out->ends_ms = claim_ends_ms(e->started_at);
}

/* By the milliseconds that the record has of its beginning. */
int64_t claim_ends_ms(int64_t started_at)
{
    return started_at / NANOS_PER_MS + CLAIM_MS;
}

int64_t claim_left_ms(int64_t ends_ms)
{
    return ends_ms - clock_now() / NANOS_PER_MS;
}

struct claims *claims_new(struct redis *redis, const struct claims_config *config)
{
    struct claims *c = xcalloc(1, sizeof *c);

    c->redis = redis;
    c->installation = xstrdup(config->installation);
    c->writer = xstrdup(config->writer);
    c->partitions = xasprintf("%d", PARTITIONS);
    c->turn = config->turn;
    c->stored_answers = config->stored_answers;
    return c;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    free(c->installation);
    free(c->writer);
    free(c->partitions);
    free(c);
}

void claims_put(struct claims *c, const struct claim *claim, const struct claim_names *also,
                claim_on_state *on_state, void *arg)
{
    struct claim_ask *ask = xcalloc(1, sizeof *ask);

    ask->on_state = on_state;
    ask->arg = arg;
    send(c, &(struct change){"open", *also, SPAN("")}, claim, ask);
}

void claims_end(struct claims *c, const struct claim *claim, bool is_answered, struct span stored,
                claim_on_state *on_state, void *arg)
{
    struct claim_ask *ask = xcalloc(1, sizeof *ask);

    ask->on_state = on_state;
    ask->arg = arg;
    send(c, &(struct change){is_answered ? "answered" : "failed", {.count = 0}, stored}, claim,
         ask);
}

static void send(struct claims *c, const struct change *what, const struct claim *claim,
                 struct claim_ask *ask)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(claim->account));
    char keys[FIXED + CLAIM_NAMES_MAX][PARTITION_KEY];
    char ends[INT64_TEXT], left[INT64_TEXT], turn[INT64_TEXT], most[INT64_TEXT];
    int64_t left_ms = claim_left_ms(claim->ends_ms);
    struct span key[FIXED + CLAIM_NAMES_MAX] = {
        partition_key(p, "state", NULL, keys[0]),
        claim_key(claim->account, &claim->digests, keys[1]),
        partition_key(p, "answer", claim->request_id, keys[2]),
        partition_key(p, "index", claim->account, keys[3]),
        partition_key(p, "released", claim->request_id, keys[4]),
        partition_key(p, "stored", claim->account, keys[5]),
    };
    const struct span args[] = {
        span_of(c->installation),
        span_of(c->partitions),
        span_of(what->verb),
        span_of(claim->request_id),
        span_of(claim->digests.body),
        int64_text(claim->ends_ms, ends),
        int64_text(left_ms > 0 ? left_ms : 0, left),
        span_of(c->writer),
        uint64_text(c->turn, turn),
        what->stored,
        int64_text(c->stored_answers, most),
    };
    const struct redis_eval eval = {
        script_get(SCRIPT_ANSWER), {key, FIXED + what->also.count}, REDIS_WORDS(args)};

    for (size_t i = 0; i < what->also.count; i++)
        key[FIXED + i] = claim_key(claim->account, &what->also.digests[i], keys[FIXED + i]);
    redis_eval(c->redis, &eval, on_answer, ask);
}

static void on_answer(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct claim_ask ask = *(struct claim_ask *)arg;
    struct span word = {NULL, 0};

    free(arg);
    if (!err && redis_reply_type(reply) == REDIS_ARRAY && redis_reply_count(reply) > 0)
        word = redis_reply_text(redis_reply_at(reply, 0));
    ask.on_state(ask.arg, span_equal(word, SPAN("OK"))       ? CLAIM_STANDS
                          : span_equal(word, SPAN("TAKEN"))  ? CLAIM_TAKEN
                          : span_equal(word, SPAN("PARKED")) ? CLAIM_PARKED
                                                             : CLAIM_UNKNOWN);
}

void claims_stored(struct claims *c, const char *account, const char *request_id,
                   claim_on_stored *on_stored, void *arg)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(account));
    struct claim_ask *ask = xcalloc(1, sizeof *ask);
    char key[PARTITION_KEY];
    const struct span get[] = {SPAN("GET"), partition_key(p, "answer", request_id, key)};

    ask->on_stored = on_stored;
    ask->arg = arg;
    redis_command(c->redis, get, ARRAY_LEN(get), on_get, ask);
}

static void on_get(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct claim_ask ask = *(struct claim_ask *)arg;
    struct span stored;
    struct err wrong;

    free(arg);
    if (!err && redis_reply_type(reply) == REDIS_ERROR) {
        err_set(&wrong, ERR_UNAVAILABLE, "Redis answered: %.*s", SPAN_FMT(redis_reply_text(reply)));
        err = &wrong;
    }
    if (err || redis_reply_type(reply) != REDIS_TEXT) {
        ask.on_stored(ask.arg, NULL, err);
        return;
    }
    stored = redis_reply_text(reply);
    ask.on_stored(ask.arg, &stored, NULL);
}

const char *claim_name(const char *account, const char *digest, char out[CLAIM_NAME])
{
    snprintf(out, CLAIM_NAME, "%s:%s", account, digest);
    return out;
}

static struct span claim_key(const char *account, const struct idempotency *digests,
                             char out[PARTITION_KEY])
{
    char name[CLAIM_NAME];

    return partition_key(partition_of(SIDE_ACCOUNT, span_of(account)), "idem",
                         claim_name(account, digests->key, name), out);
}

void claims_admit_args(const struct claims *c, const struct claim *claim,
                       const struct claim_names *also, struct claim_args *out)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(claim->account));

    out->key[0] = claim_key(claim->account, &claim->digests, out->keys[0]);
    out->key[1] = partition_key(p, "live", NULL, out->keys[1]);
    out->arg[0] = span_of(claim->digests.body);
    out->arg[1] = int64_text(claim->ends_ms, out->ends);
    out->arg[2] = uint64_text(c->turn, out->turn);
    out->key_count = 2 + also->count;
    out->arg_count = 3 + also->count;
    for (size_t i = 0; i < also->count; i++) {
        out->key[2 + i] = claim_key(claim->account, &also->digests[i], out->keys[2 + i]);
        out->arg[3 + i] = span_of(also->digests[i].body);
    }
}
