/* admission.c - asks for holds and ends them. What keeps them alive meanwhile is admission_keep.c. */
#include "billing/admission.h"

#include <assert.h>

#include "billing/admission_answer.h"
#include "billing/admission_keep.h"
#include "billing/admission_state.h"
#include "billing/scripts.h"
#include "billing/spending.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define POLL_MS       100
#define CLAIM_SURE_MS 8000
#define ZONES_ASKED   3 /* each for another zone of one account, which somebody changes meanwhile */

static void copy(const char *from, char *out, size_t size);
static bool take_zone(struct hold *h, struct span name, struct err *err);
static void ask_admit(struct hold *h);
static void on_admit(void *arg, const struct redis_reply *reply, const struct err *err);
static bool may_go_on(struct hold *h, const struct err *err);
static void take_admit(struct hold *h, const struct redis_reply *reply);
static void ask_in_zone(struct hold *h, struct span zone);
static void wait_for_window(const struct hold *h, struct admission_answer *answer);
static void learn(struct hold *h, const struct admission_answer *answer,
                  const struct redis_reply *reply);
static void answer_hold(struct hold *h, enum hold_state state,
                        const struct admission_answer *answer, const struct err *err);
static void wait_for_recovery(struct hold *h);
static void on_poll(void *arg);
static void settle_offline(struct hold *h, int64_t charged);
static void hold_free(struct hold *h);

struct admission *admission_new(struct loop *loop, struct redis *redis,
                                const struct admission_config *config)
{
    struct admission *a = xcalloc(1, sizeof *a);
    struct claims_config claims = {config->installation, config->writer, config->turn,
                                   config->stored_answers};

    a->redis = redis;
    a->claims = claims_new(redis, &claims);
    a->zones = zones_new();
    a->installation = xstrdup(config->installation);
    a->writer = xstrdup(config->writer);
    a->partitions = xasprintf("%d", PARTITIONS);
    a->recovering_wait_ms = config->recovering_wait_ms;
    a->offline = config->offline;
    a->poll = timer_new(loop, on_poll, a);
    keep_begin(a, loop);
    return a;
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    for (struct ask *ask = a->asks; ask; ask = ask->next)
        ask->a = NULL;
    for (struct hold *h = a->holds; h; h = h->next)
        h->a = NULL;
    keep_end(a);
    timer_free(a->poll);
    claims_free(a->claims);
    zones_free(a->zones);
    free(a->installation);
    free(a->writer);
    free(a->partitions);
    free(a);
}

struct hold *admission_admit(struct admission *a, const struct admission_request *request,
                             admission_on_answer *on_answer, void *arg)
{
    struct hold *h = xcalloc(1, sizeof *h);

    h->a = a;
    h->partition = partition_of(SIDE_ACCOUNT, span_of(request->account));
    copy(request->request_id, h->request_id, sizeof h->request_id);
    copy(request->account, h->account, sizeof h->account);
    copy(request->key, h->key, sizeof h->key);
    copy(request->first_key, h->first_key, sizeof h->first_key);
    h->key_access =
        xstrndup(request->key_access.data ? request->key_access.data : "", request->key_access.len);
    copy(request->currency, h->currency, sizeof h->currency);
    copy(request->model, h->model, sizeof h->model);
    h->amount = request->amount_nanos;
    h->started_at = request->started_at;
    if (!take_zone(h, span_of(request->zone), NULL) && !take_zone(h, SPAN(""), NULL))
        assert(!"the platform's zone is known");
    h->tokens = request->tokens < TOKENS_MAX ? request->tokens : TOKENS_MAX;
    if (request->claim) {
        h->claim = xcalloc(1, sizeof *h->claim);
        *h->claim = *request->claim;
        h->also = request->also;
    }
    h->on_answer = on_answer;
    h->arg = arg;
    h->asked_ms = clock_monotonic_ms();
    h->next = a->holds;
    h->link = &a->holds;
    if (h->next)
        h->next->link = &h->next;
    a->holds = h;
    ask_admit(h);
    return h;
}

/* What is too long is cut: no id is. */
static void copy(const char *from, char *out, size_t size)
{
    size_t n = strnlen(from, size - 1);

    memcpy(out, from, n);
    out[n] = '\0';
}

/* A name that this machine does not know, or that is none, changes nothing. */
static bool take_zone(struct hold *h, struct span name, struct err *err)
{
    char zone[ZONE_TEXT];
    const struct zone *rules;

    if (!span_copy(name, zone, sizeof zone))
        return err_set(err, ERR_UNAVAILABLE, "the name of its time zone is too long");
    if (!zones_find(h->a->zones, zone, &rules, err))
        return false;
    memcpy(h->zone, zone, sizeof h->zone);
    h->rules = rules;
    day_in(rules, h->started_at, h->day);
    return true;
}

static void ask_admit(struct hold *h)
{
    struct admission *a = h->a;
    char keys[11][PARTITION_KEY], spent[2][SPENT_TEXT], amount[INT64_TEXT], now[INT64_TEXT],
        tokens[INT64_TEXT];
    struct partition p = h->partition;
    struct claim_args claim = {0};

    if (h->claim)
        claims_admit_args(a->claims, h->claim, &h->also, &claim);
    const struct span key[] = {
        partition_key(p, "state", NULL, keys[0]),
        partition_key(p, "key", h->key, keys[1]),
        partition_key(p, "account", h->account, keys[2]),
        partition_key(p, "holds", h->account, keys[3]),
        partition_key(p, "index", h->account, keys[4]),
        partition_key(p, "held", NULL, keys[5]),
        partition_key(p, "released", h->request_id, keys[6]),
        partition_key(p, "rate", h->account, keys[7]),
        partition_key(p, "rate:key", h->first_key, keys[8]),
        partition_key(p, "spent", spent_day_name(h->account, h->day, h->currency, spent[0]),
                      keys[9]),
        partition_key(p, "spent", spent_month_name(h->account, h->day, h->currency, spent[1]),
                      keys[10]),
        claim.key[0],
        claim.key[1],
        claim.key[2],
        claim.key[3],
    };

    const struct span args[] = {
        span_of(a->installation),
        redis_arg_run_id,
        span_of(h->account),
        span_of(h->request_id),
        span_of(a->writer),
        int64_text(h->amount, amount),
        clock_offset() != 0 ? int64_text(clock_now(), now) : SPAN(""),
        span_of(h->currency),
        int64_text(h->tokens, tokens),
        span_of(h->key_access),
        span_of(h->day),
        span_of(h->model),
        span_of(h->zone),
        claim.arg[0],
        claim.arg[1],
        claim.arg[2],
        claim.arg[3],
        claim.arg[4],
    };
    const struct redis_eval eval = {
        script_get(SCRIPT_ADMIT),
        {key, ARRAY_LEN(key) - ARRAY_LEN(claim.key) + claim.key_count},
        {args, ARRAY_LEN(args) - ARRAY_LEN(claim.arg) + claim.arg_count},
    };
    h->state = HOLD_ASKING;
    h->claim_asked_ms = clock_monotonic_ms();
    h->admit = ask_new(a, h);
    redis_eval(a->redis, &eval, on_admit, h->admit);
}

static void on_admit(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct ask *ask = arg;
    struct hold *h = ask->hold;
    struct admission_answer answer = {.verdict = VERDICT_UNAVAILABLE, .retry_after_ms = 1000};
    struct err refused;

    if (h)
        h->admit = NULL;
    if (!ask_end(ask) || !h)
        return;
    if (err && may_go_on(h, err)) {
        answer = (struct admission_answer){.verdict = VERDICT_ADMITTED};
        answer_hold(h, HOLD_PLACED, &answer, NULL);
    } else if (err) {
        bool was_sent = err->code != ERR_UNAVAILABLE && err->code != ERR_LIMIT;
        answer_hold(h, was_sent ? HOLD_UNKNOWN : HOLD_REFUSED, &answer, err);
    } else if (redis_reply_type(reply) != REDIS_ARRAY || !redis_reply_count(reply)) {
        err_set(&refused, ERR_UNAVAILABLE, "Redis could not admit: %.*s",
                SPAN_FMT(redis_reply_text(reply)));
        answer_hold(h, HOLD_UNKNOWN, &answer, &refused);
    } else {
        take_admit(h, reply);
    }
}

/* Redis is away. The hold counts as placed: it is put into Redis when that is back. Its day is that of the zone which Redis
 * named last, be it when another key was used. */
static bool may_go_on(struct hold *h, const struct err *err)
{
    struct money most = {.nanos = h->amount};

    if (!h->a->offline || h->claim || (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT))
        return false;
    copy(h->currency, most.currency, sizeof most.currency);
    h->outage = offline_take(h->a->offline, h->account, &most);
    if (h->outage && !h->zone_answers &&
        !take_zone(h, span_of(offline_zone(h->a->offline, h->account)), NULL))
        assert(!"what was learned was known");
    return h->outage != 0;
}

static void take_admit(struct hold *h, const struct redis_reply *reply)
{
    struct admission_answer answer;
    struct span word = redis_reply_text(redis_reply_at(reply, 0));
    struct err err;

    if (span_equal(word, SPAN("ZONE"))) {
        ask_in_zone(h, redis_reply_text(redis_reply_at(reply, 1)));
        return;
    }
    admission_answer_read(reply, &answer);
    if (answer.verdict == VERDICT_RECOVERING &&
        clock_monotonic_ms() - h->asked_ms < h->a->recovering_wait_ms) {
        wait_for_recovery(h);
        return;
    }
    answer.asked_tokens = h->tokens;
    if (answer.verdict == VERDICT_BUDGET)
        wait_for_window(h, &answer);
    learn(h, &answer, reply);
    if (answer.verdict == VERDICT_UNAVAILABLE || answer.verdict == VERDICT_WRONG_REDIS) {
        err_set(&err, ERR_UNAVAILABLE, "partition of account %s answered %.*s", h->account,
                SPAN_FMT(word));
        answer_hold(h, HOLD_REFUSED, &answer, &err);
        return;
    }
    h->claim_stood_ms = h->claim_asked_ms;
    answer_hold(h, answer.verdict == VERDICT_ADMITTED ? HOLD_PLACED : HOLD_REFUSED, &answer, NULL);
}

/* Nothing was decided: the day was that of another zone than the account has. */
static void ask_in_zone(struct hold *h, struct span zone)
{
    struct admission_answer answer = {.verdict = VERDICT_UNAVAILABLE, .retry_after_ms = 1000};
    struct err err;

    if (h->zone_answers++ >= ZONES_ASKED) {
        err_set(&err, ERR_UNAVAILABLE, "the time zone of account %s is being changed", h->account);
        answer_hold(h, HOLD_REFUSED, &answer, &err);
    } else if (!take_zone(h, zone, &err)) {
        (void)err_context(&err, "account %s", h->account);
        answer_hold(h, HOLD_REFUSED, &answer, &err);
    } else {
        ask_admit(h);
    }
}

/* Once the day or month of the call is over, there is another budget. */
static void wait_for_window(const struct hold *h, struct admission_answer *answer)
{
    int64_t now = clock_now();

    copy(h->model, answer->budget.model, sizeof answer->budget.model);
    answer->budget.ends_at =
        window_end(h->rules, h->started_at, answer->budget.is_of_month ? WINDOW_MONTH : WINDOW_DAY);
    if (answer->budget.ends_at > now)
        answer->retry_after_ms = (answer->budget.ends_at - now) / NANOS_PER_MS + 1;
}

/* For when Redis is away: what was free at last, this hold taken off. */
static void learn(struct hold *h, const struct admission_answer *answer,
                  const struct redis_reply *reply)
{
    bool is_postpaid;

    if (!h->a->offline || !admission_answer_mode(reply, &is_postpaid))
        return;
    offline_learn(h->a->offline, h->account, is_postpaid, &answer->left);
    offline_learn_zone(h->a->offline, h->account, h->zone);
}

/* The callback may end the hold. */
static void answer_hold(struct hold *h, enum hold_state state,
                        const struct admission_answer *answer, const struct err *err)
{
    h->state = state;
    h->on_answer(h->arg, answer, err);
}

static void wait_for_recovery(struct hold *h)
{
    h->state = HOLD_WAITING;
    if (!h->a->is_polling)
        timer_start(h->a->poll, POLL_MS);
    h->a->is_polling = true;
}

/* None of the holds answers before this returns, so the list stands still. */
static void on_poll(void *arg)
{
    struct admission *a = arg;

    a->is_polling = false;
    for (struct hold *h = a->holds; h; h = h->next)
        if (h->state == HOLD_WAITING)
            ask_admit(h);
}

void hold_settled(struct hold *h, int64_t charged_nanos)
{
    settle_offline(h, charged_nanos);
    hold_free(h);
}

static void settle_offline(struct hold *h, int64_t charged)
{
    if (h->a && h->outage)
        offline_settle(h->a->offline, h->outage, h->account, h->amount, charged);
}

void hold_abandon(struct hold *h)
{
    if (h->a && (h->state == HOLD_ASKING || h->state == HOLD_PLACED || h->state == HOLD_UNKNOWN))
        keep_release(h);
    settle_offline(h, 0);
    hold_free(h);
}

static void hold_free(struct hold *h)
{
    if (h->admit)
        h->admit->hold = NULL;
    if (h->put)
        h->put->hold = NULL;
    if (h->a) {
        *h->link = h->next;
        if (h->next)
            h->next->link = h->link;
    }
    free(h->claim);
    free(h->key_access);
    free(h);
}

struct ask *ask_new(struct admission *a, struct hold *h)
{
    struct ask *ask = xcalloc(1, sizeof *ask);

    ask->a = a;
    ask->hold = h;
    ask->next = a->asks;
    ask->link = &a->asks;
    if (ask->next)
        ask->next->link = &ask->next;
    a->asks = ask;
    return ask;
}

struct admission *ask_end(struct ask *ask)
{
    struct admission *a = ask->a;

    if (a) {
        *ask->link = ask->next;
        if (ask->next)
            ask->next->link = ask->link;
    }
    free(ask);
    return a;
}

int64_t hold_amount(const struct hold *h)
{
    return h->amount;
}

bool hold_claim_is_lost(const struct hold *h)
{
    return h->claim_is_lost;
}

bool hold_claim_is_sure(const struct hold *h)
{
    return !h->claim_is_lost && clock_monotonic_ms() - h->claim_stood_ms < CLAIM_SURE_MS;
}

void hold_claim_ask(struct hold *h)
{
    if (h->a && h->claim && !h->put)
        keep_ask_claim(h);
}

const char *hold_zone(const struct hold *h)
{
    return h->zone;
}

const char *hold_began_on(const struct hold *h)
{
    return h->zone[0] ? h->day : "";
}

size_t admission_holds(const struct admission *a)
{
    size_t count = 0;

    for (const struct hold *h = a->holds; h; h = h->next)
        count += h->state != HOLD_REFUSED;
    return count;
}

struct claims *admission_claims(struct admission *a)
{
    return a->claims;
}
