/* admission_keep.c - renewing, putting again and releasing holds.
 *
 * Whether a command that was not answered was done is unknown. So a hold is renewed with its amount, which puts it
 * again when it is missing; and a release is repeated on new connections until it was answered, or the sweeper
 * has the entry anyway. A parked partition is passed over when holds are put again: once it was rebuilt, there is another
 * round. */
#include "billing/admission_keep.h"

#include <inttypes.h>
#include <stdio.h>

#include "billing/partition_server.h"
#include "billing/scripts.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define RENEW_MS       10000
#define RETRY_MS       1000
#define RELEASE_AGE_MS 120000
#define RELEASES_MAX   4096
#define ENTRIES_MAX    64 /* of one command */
#define WHERE_TEXT     (DAY_TEXT + KEY_ID_PUBLIC + MODEL_TEXT + 3)

struct entry {
    const char *request_id, *first_key, *model, *day; /* day null: it is not put again */
    int64_t amount;
};

/* Of one account. */
struct entries {
    struct partition partition;
    const char *account;
    size_t count;
    struct entry entry[ENTRIES_MAX];
};

static void on_renew(void *arg);
static size_t renew_all(struct admission *a, uint64_t round);
static bool can_renew(const struct hold *h);
static int by_account(const void *a, const void *b);
static void add_entry(struct entries *some, const struct hold *h);
static void on_renewed(void *arg, const struct redis_reply *reply, const struct err *err);
static void put_claim(struct admission *a, struct hold *h, uint64_t round);
static void on_claim_put(void *arg, enum claim_state state);
static void count_answer(struct admission *a, uint64_t round, bool is_good);
static void put_round(void *arg);
static void end_round(struct admission *a);
static void send_release(struct admission *a, struct release *r);
static void on_released(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_claim_freed(void *arg, enum claim_state state);
static void release_later(struct admission *a, struct release *r);
static void release_again(void *arg);
static void eval_hold(struct admission *a, const char *verb, const struct entries *some,
                      redis_on_reply *on_reply, struct ask *ask);
static bool says(const struct redis_reply *reply, const char *word);
static bool is_ok(const struct redis_reply *reply);

void keep_begin(struct admission *a, struct loop *loop)
{
    a->renew = timer_new(loop, on_renew, a);
    a->again = timer_new(loop, release_again, a);
    a->put = timer_new(loop, put_round, a);
    timer_start(a->renew, RENEW_MS);
}

void keep_end(struct admission *a)
{
    timer_free(a->renew);
    timer_free(a->again);
    timer_free(a->put);
    while (a->releases) {
        struct release *r = a->releases;
        a->releases = r->next;
        free(r);
    }
}

static void on_renew(void *arg)
{
    struct admission *a = arg;

    timer_start(a->renew, RENEW_MS);
    if (redis_is_partly_ready(a->redis))
        renew_all(a, 0);
}

/* One command per account and ENTRIES_MAX holds; how many commands. Holds whose server is away are put again once it
 * is back. */
static size_t renew_all(struct admission *a, uint64_t round)
{
    struct entries some = {0};
    struct hold **holds = NULL;
    size_t count = 0, commands = 0;

    for (struct hold *h = a->holds; h; h = h->next)
        count += can_renew(h);
    if (!count)
        return 0;
    holds = xcalloc(count, sizeof(struct hold *));
    count = 0;
    for (struct hold *h = a->holds; h; h = h->next)
        if (can_renew(h))
            holds[count++] = h;
    qsort(holds, count, sizeof *holds, by_account);
    for (size_t i = 0; i < count; i++) {
        if (holds[i]->claim) {
            put_claim(a, holds[i], round);
            commands++;
        }
        add_entry(&some, holds[i]);
        bool is_last = i + 1 == count || strcmp(holds[i]->account, holds[i + 1]->account) != 0;
        if (!is_last && some.count < ENTRIES_MAX)
            continue;
        struct ask *ask = ask_new(a, NULL);
        ask->round = round;
        eval_hold(a, "renew", &some, on_renewed, ask);
        some.count = 0;
        commands++;
    }
    free(holds);
    return commands;
}

static bool can_renew(const struct hold *h)
{
    return h->state == HOLD_PLACED && partition_is_ready(h->a->redis, h->partition);
}

static int by_account(const void *a, const void *b)
{
    const struct hold *const *x = a, *const *y = b;

    return strcmp((*x)->account, (*y)->account);
}

static void add_entry(struct entries *some, const struct hold *h)
{
    some->partition = h->partition;
    some->account = h->account;
    some->entry[some->count++] =
        (struct entry){h->request_id, h->first_key, h->model, h->day, h->amount};
}

static void on_renewed(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct ask *ask = arg;
    uint64_t round = ask->round;
    struct admission *a = ask_end(ask);
    bool is_good = !err && is_ok(reply);

    if (!a)
        return;
    if (!is_good && !round)
        log_warn("holds_not_renewed", "%s",
                 err ? err->text : "Redis refused; it will be tried again");
    count_answer(a, round, is_good || (!err && says(reply, "PARKED")));
}

static void count_answer(struct admission *a, uint64_t round, bool is_good)
{
    if (!round || round != a->round || !a->on_put)
        return;
    a->round_failed = a->round_failed || !is_good;
    a->round_pending--;
    end_round(a);
}

static void put_claim(struct admission *a, struct hold *h, uint64_t round)
{
    if (h->put)
        h->put->hold = NULL; /* a later answer counts */
    h->put = ask_new(a, h);
    h->put->round = round;
    h->claim_asked_ms = clock_monotonic_ms();
    claims_put(a->claims, h->claim, &h->also, on_claim_put, h->put);
}

void keep_ask_claim(struct hold *h)
{
    put_claim(h->a, h, 0);
}

static void on_claim_put(void *arg, enum claim_state state)
{
    struct ask *ask = arg;
    struct hold *h = ask->hold;
    uint64_t round = ask->round;
    struct admission *a;

    if (h) {
        h->put = NULL;
        h->claim_is_lost = h->claim_is_lost || state == CLAIM_TAKEN;
        if (state == CLAIM_STANDS)
            h->claim_stood_ms = h->claim_asked_ms;
    }
    a = ask_end(ask);
    if (a)
        count_answer(a, round, state != CLAIM_UNKNOWN);
}

void admission_put_again(struct admission *a, void (*on_done)(void *), void *arg)
{
    a->on_put = on_done;
    a->put_arg = arg;
    a->round++; /* answers of an earlier round no longer count */
    timer_start(a->put, 0);
}

static void put_round(void *arg)
{
    struct admission *a = arg;

    a->round_failed = false;
    a->round_pending = renew_all(a, a->round);
    end_round(a);
}

static void end_round(struct admission *a)
{
    void (*on_put)(void *) = a->on_put;

    if (a->round_pending > 0)
        return;
    if (a->round_failed) {
        a->round++;
        timer_start(a->put, RETRY_MS);
        return;
    }
    a->on_put = NULL;
    on_put(a->put_arg);
}

void keep_release(const struct hold *h)
{
    struct release *r = xcalloc(1, sizeof *r);

    r->partition = h->partition;
    memcpy(r->request_id, h->request_id, sizeof r->request_id);
    memcpy(r->account, h->account, sizeof r->account);
    memcpy(r->first_key, h->first_key, sizeof r->first_key);
    if (h->claim)
        r->claim = *h->claim;
    r->since_ms = clock_monotonic_ms();
    send_release(h->a, r);
}

/* Behind the admit on the same connection, so after it. */
static void send_release(struct admission *a, struct release *r)
{
    struct entries one = {.partition = r->partition, .account = r->account, .count = 1};
    struct ask *ask = ask_new(a, NULL);

    ask->release = r;
    if (r->entry_is_gone) {
        claims_end(a->claims, &r->claim, false, SPAN(""), on_claim_freed, ask);
        return;
    }
    one.entry[0] = (struct entry){.request_id = r->request_id, .first_key = r->first_key};
    eval_hold(a, "release", &one, on_released, ask);
}

static void on_released(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct ask *ask = arg;
    struct release *r = KEEP(ask->release);
    struct admission *a = ask_end(ask);

    if (a && (err || !is_ok(reply))) {
        release_later(a, r);
    } else if (a && r->claim.digests.key[0]) {
        r->entry_is_gone = true;
        send_release(a, r);
    } else {
        free(r);
    }
}

static void on_claim_freed(void *arg, enum claim_state state)
{
    struct ask *ask = arg;
    struct release *r = KEEP(ask->release);
    struct admission *a = ask_end(ask);

    if (a && state != CLAIM_STANDS)
        release_later(a, r);
    else
        free(r);
}

static void release_later(struct admission *a, struct release *r)
{
    bool is_old = clock_monotonic_ms() - r->since_ms > RELEASE_AGE_MS;

    if (is_old || a->release_count >= RELEASES_MAX) {
        log_warn("hold_left_to_sweeper", "the hold of %s could not be released", r->request_id);
        free(r);
        return;
    }
    r->next = a->releases;
    a->releases = r;
    a->release_count++;
    timer_start(a->again, RETRY_MS);
}

static void release_again(void *arg)
{
    struct admission *a = arg;
    struct release *list = KEEP(a->releases);

    a->release_count = 0;
    while (list) {
        struct release *r = list;
        list = r->next;
        if (partition_is_ready(a->redis, r->partition))
            send_release(a, r);
        else
            release_later(a, r);
    }
}

static void eval_hold(struct admission *a, const char *verb, const struct entries *some,
                      redis_on_reply *on_reply, struct ask *ask)
{
    static const struct {
        const char *what;
        bool is_account;
    } fixed[] = {{"state", false}, {"account", true}, {"holds", true},
                 {"index", true},  {"held", false},   {"rate", true}};
    char keys[ARRAY_LEN(fixed) + 2 * ENTRIES_MAX][PARTITION_KEY], amounts[ENTRIES_MAX][AMOUNT_TEXT];
    char where[ENTRIES_MAX][WHERE_TEXT];
    struct span key[ARRAY_LEN(keys)], args[5 + 3 * ENTRIES_MAX];
    size_t k = 0, n = 0;

    for (; k < ARRAY_LEN(fixed); k++)
        key[k] = partition_key(some->partition, fixed[k].what,
                               fixed[k].is_account ? some->account : NULL, keys[k]);
    args[n++] = span_of(a->installation);
    args[n++] = span_of(a->partitions);
    args[n++] = span_of(some->account);
    args[n++] = span_of(a->writer);
    args[n++] = span_of(verb);
    for (size_t i = 0; i < some->count; i++, k += 2) {
        key[k] = partition_key(some->partition, "released", some->entry[i].request_id, keys[k]);
        key[k + 1] =
            partition_key(some->partition, "rate:key", some->entry[i].first_key, keys[k + 1]);
        snprintf(amounts[i], sizeof amounts[i], "%" PRId64, some->entry[i].amount);
        args[n++] = span_of(some->entry[i].request_id);
        args[n++] = span_of(amounts[i]);
        where[i][0] = '\0';
        if (some->entry[i].day)
            snprintf(where[i], sizeof where[i], " %s %s %s", some->entry[i].day,
                     some->entry[i].first_key, some->entry[i].model);
        args[n++] = span_of(where[i]);
    }
    redis_eval(a->redis, &(struct redis_eval){script_get(SCRIPT_HOLD), {key, k}, {args, n}},
               on_reply, ask);
}

static bool says(const struct redis_reply *reply, const char *word)
{
    return redis_reply_type(reply) == REDIS_ARRAY && redis_reply_count(reply) > 0 &&
           span_equal(redis_reply_text(redis_reply_at(reply, 0)), span_of(word));
}

static bool is_ok(const struct redis_reply *reply)
{
    return says(reply, "OK");
}
