/* notice_look.c - the questions come one after the other: whether the partition is whole, the month's notices, the account,
 * its budgets for single models, what it spent, and then each key that spent something. A partition that is being filled anew is not looked at: what it
 * lacks yet would seem not to have been told. */
#include "gateway/notice_look.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/admission.h"
#include "billing/model_budgets.h"
#include "billing/partition_server.h"
#include "billing/spending.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/* What a key, and those that its rotations made, have spent in a window of the look's. */
struct key_sum {
    char first_key[KEY_ID_PUBLIC];
    int64_t day, month;
};

/* What the account has spent on a model that it has a budget for. */
struct model_sum {
    struct model_budget budget;
    int64_t day, month;
};

struct look {
    struct redis *redis;
    struct partition partition;
    struct notice_look_ask ask;
    char account[ID_TEXT], month[PERIOD_TEXT], currency[CURRENCY_TEXT];
    int64_t budget_day, budget_month, day, month_sum; /* the account's own */
    char (*told)[NOTICE_ID_TEXT];                     /* ids that were raised */
    size_t told_count, model_count, key_count, next;
    struct model_sum *models;
    struct key_sum *keys;
    char key[KEY_ID_PUBLIC]; /* which is read: of the next sum's, one after the other */
    const struct notice_look_handlers *handlers;
    void *arg;
};

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_notices(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_notice(struct look *l, struct span name, struct span entry);
static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err);
static void on_models(void *arg, const struct model_budget *list, size_t count,
                      const struct err *err);
static void on_day(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_month(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_sums(struct look *l, const struct redis_reply *reply, bool is_day,
                      const struct err *err);
static void take_sum(struct look *l, bool is_day, struct span scope, struct span sum);
static void take_model_sum(struct look *l, bool is_day, struct span model, int64_t nanos);
static struct key_sum *key_of(struct look *l, struct span key);
static void next_key(struct look *l);
static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err);
static void judge(struct look *l, const struct crossing *of, int64_t budget, int64_t spent);
static bool is_told(const struct look *l, const char *id);
static void ask_hash(struct look *l, const char *what, const char *rest, redis_on_reply *on_reply);
static void look_end(struct look *l, const struct err *err);

void notice_look(struct redis *redis, const struct notice_look_ask *ask,
                 const struct notice_look_handlers *handlers, void *arg)
{
    struct look *l = xcalloc(1, sizeof *l);
    char key[PARTITION_KEY];

    l->redis = redis;
    l->ask = *ask;
    l->ask.account = l->account;
    l->partition = partition_of(SIDE_ACCOUNT, span_of(ask->account));
    snprintf(l->account, sizeof l->account, "%s", ask->account);
    snprintf(l->month, sizeof l->month, "%.*s", PERIOD_TEXT - 1, ask->day);
    l->handlers = handlers;
    l->arg = arg;
    const struct span words[] = {SPAN("HGET"), partition_key(l->partition, "state", NULL, key),
                                 SPAN("run_id")};
    redis_command(redis, words, ARRAY_LEN(words), on_state, l);
}

static void on_state(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;
    struct err room;
    char name[NOTICES_TEXT];

    err = redis_failure(reply, err, &room);
    if (!err &&
        !span_equal(redis_reply_text(reply), span_of(partition_run_id(l->redis, l->partition)))) {
        err_set(&room, ERR_UNAVAILABLE, "Redis is being brought up to the journals");
        err = &room;
    }
    if (err)
        look_end(l, err);
    else
        ask_hash(l, "notices", notices_name(l->account, l->month, name), on_notices);
}

static void ask_hash(struct look *l, const char *what, const char *rest, redis_on_reply *on_reply)
{
    char key[PARTITION_KEY];
    const struct span words[] = {SPAN("HGETALL"), partition_key(l->partition, what, rest, key)};

    redis_command(l->redis, words, ARRAY_LEN(words), on_reply, l);
}

static void on_notices(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;
    struct err room;

    if ((err = redis_failure(reply, err, &room))) {
        look_end(l, err);
        return;
    }
    l->told = xcalloc(redis_reply_count(reply) / 2 + 1, sizeof *l->told);
    for (int is_done = 1; is_done >= 0; is_done--)
        for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
            if (span_starts(redis_reply_text(redis_reply_at(reply, i)), SPAN("done ")) == is_done)
                take_notice(l, redis_reply_text(redis_reply_at(reply, i)),
                            redis_reply_text(redis_reply_at(reply, i + 1)));
    if (l->ask.raises)
        account_read(l->redis, l->account, on_account, l);
    else
        look_end(l, NULL);
}

/* Those that are done come first, so that whoever hears of one that was raised knows what became of it. */
static void take_notice(struct look *l, struct span name, struct span entry)
{
    bool is_done = span_starts(name, SPAN("done "));
    size_t word = is_done ? strlen("done ") : strlen("raised ");
    struct notice_seen seen = {.is_done = is_done};
    char id[ID_TEXT];

    if (name.len < word ||
        !span_copy((struct span){name.data + word, name.len - word}, id, ID_TEXT) ||
        !first_entry_read(entry, &seen.entry))
        return;
    seen.id = id;
    if (!is_done && span_copy(span_of(id), l->told[l->told_count], NOTICE_ID_TEXT))
        l->told_count++;
    l->handlers->on_notice(l->arg, &seen);
}

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct look *l = arg;

    if (err || !found || !state->opened) {
        look_end(l, err);
        return;
    }
    memcpy(l->currency, state->currency, sizeof l->currency);
    l->budget_day = state->budget_day;
    l->budget_month = state->budget_month;
    model_budgets_read(l->redis, l->account, on_models, l);
}

static void on_models(void *arg, const struct model_budget *list, size_t count,
                      const struct err *err)
{
    struct look *l = arg;
    char name[SPENT_TEXT];

    if (err) {
        look_end(l, err);
        return;
    }
    l->models = xcalloc(count + 1, sizeof *l->models);
    for (; l->model_count < count; l->model_count++)
        l->models[l->model_count].budget = list[l->model_count];
    ask_hash(l, "spent", spent_day_name(l->account, l->ask.day, l->currency, name), on_day);
}

static void on_day(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;
    char name[SPENT_TEXT];

    if (take_sums(l, reply, true, err))
        ask_hash(l, "spent", spent_month_name(l->account, l->ask.day, l->currency, name), on_month);
}

static void on_month(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;

    if (!take_sums(l, reply, false, err))
        return;
    judge(l, &(struct crossing){.period = l->ask.day}, l->budget_day, l->day);
    judge(l, &(struct crossing){.period = l->month}, l->budget_month, l->month_sum);
    for (const struct model_sum *m = l->models; m < l->models + l->model_count; m++) {
        const char *model = m->budget.model;

        judge(l, &(struct crossing){.model = model, .period = l->ask.day}, m->budget.day, m->day);
        judge(l, &(struct crossing){.model = model, .period = l->month}, m->budget.month, m->month);
    }
    next_key(l);
}

/* False: the look has ended. */
static bool take_sums(struct look *l, const struct redis_reply *reply, bool is_day,
                      const struct err *err)
{
    struct err room;

    if ((err = redis_failure(reply, err, &room))) {
        look_end(l, err);
        return false;
    }
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        take_sum(l, is_day, redis_reply_text(redis_reply_at(reply, i)),
                 redis_reply_text(redis_reply_at(reply, i + 1)));
    return true;
}

/* "account", "key:…", "model:…"; how many calls there were is not looked at. */
static void take_sum(struct look *l, bool is_day, struct span scope, struct span sum)
{
    struct key_sum *key;
    int64_t nanos;

    if (!int64_parse(sum, &nanos))
        return;
    if (span_equal(scope, SPAN("account"))) {
        *(is_day ? &l->day : &l->month_sum) = nanos;
    } else if (span_starts(scope, SPAN("key:"))) {
        key = key_of(l, (struct span){scope.data + 4, scope.len - 4});
        if (key)
            *(is_day ? &key->day : &key->month) = nanos;
    } else if (span_starts(scope, SPAN("model:"))) {
        take_model_sum(l, is_day, (struct span){scope.data + 6, scope.len - 6}, nanos);
    }
}

static void take_model_sum(struct look *l, bool is_day, struct span model, int64_t nanos)
{
    for (struct model_sum *m = l->models; m < l->models + l->model_count; m++)
        if (span_equal(span_of(m->budget.model), model))
            *(is_day ? &m->day : &m->month) = nanos;
}

static struct key_sum *key_of(struct look *l, struct span id)
{
    for (size_t i = 0; i < l->key_count; i++)
        if (span_equal(span_of(l->keys[i].first_key), id))
            return &l->keys[i];
    l->keys = xrealloc_array(l->keys, l->key_count + 1, sizeof *l->keys);
    l->keys[l->key_count] = (struct key_sum){.day = 0};
    return span_copy(id, l->keys[l->key_count].first_key, KEY_ID_PUBLIC) ? &l->keys[l->key_count++]
                                                                         : NULL;
}

static void next_key(struct look *l)
{
    if (l->next >= l->key_count) {
        look_end(l, NULL);
        return;
    }
    memcpy(l->key, l->keys[l->next].first_key, sizeof l->key);
    key_read(l->redis, l->key, on_key, l);
}

/* Keys that rotations made of one another spend together, and each has budgets of its own. */
static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct look *l = arg;
    const struct key_sum *sum = &l->keys[l->next];

    if (err) {
        look_end(l, err);
        return;
    }
    if (found && !state->revoked) {
        judge(l, &(struct crossing){.key = l->key, .period = l->ask.day}, state->budget_day,
              sum->day);
        judge(l, &(struct crossing){.key = l->key, .period = l->month}, state->budget_month,
              sum->month);
    }
    if (found && state->replaced_by[0]) {
        memcpy(l->key, state->replaced_by, sizeof l->key);
        key_read(l->redis, l->key, on_key, l);
        return;
    }
    l->next++;
    next_key(l);
}

/* `of`: whose budget, of which window. */
static void judge(struct look *l, const struct crossing *of, int64_t budget, int64_t spent)
{
    struct crossing c = *of;
    char id[NOTICE_ID_TEXT];

    c.account = l->account;
    c.currency = l->currency;
    c.budget = budget;
    c.spent = spent;
    for (size_t i = 0; budget > 0 && i < THRESHOLDS; i++) {
        c.percent = threshold_percents[i];
        if (!threshold_is_reached(spent, budget, c.percent))
            return;
        crossing_id(&c, l->ask.installation, id);
        if (!is_told(l, id))
            l->handlers->on_crossing(l->arg, &c, id);
    }
}

static bool is_told(const struct look *l, const char *id)
{
    for (size_t i = 0; i < l->told_count; i++)
        if (strcmp(l->told[i], id) == 0)
            return true;
    return false;
}

static void look_end(struct look *l, const struct err *err)
{
    l->handlers->on_end(l->arg, err);
    free(l->told);
    free(l->models);
    free(l->keys);
    free(l);
}
