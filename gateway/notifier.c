/* notifier.c - a round: the lease, the webhooks, then account after account. What it decides is only ever written to the
 * journal; that it counts, a later round learns from Redis. */
#include "gateway/notifier.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/notice_look.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define LEASE_MS    "15000"
#define RAISED_MS   250 /* after which Redis is asked for what was raised */
#define FULL_ROUNDS 12
#define DAYS_MAX    3
#define RECORD_MAX  8192
#define STOP_MS     2000
/* Calls that began in a window that is over are counted for a while, and what was raised is tried for a day. */
#define LATE_NANOS  (900 * NANOS_PER_SECOND)
#define OWING_NANOS (25 * 3600 * NANOS_PER_SECOND)

static const struct names_times names_times = {
    .fresh_ms = 60000, .retry_ms = 1000, .answer_ms = 15000};

/* An account with an active webhook. */
struct watched {
    char account[ID_TEXT];
    char balance[INT64_TEXT]; /* when it was looked at last; "": it has to be */
};

struct day {
    char text[DAY_TEXT];
    bool raises;
};

/* A crossing that was recorded, and not seen in Redis yet. */
struct raised {
    char id[NOTICE_ID_TEXT], account[ID_TEXT];
};

struct notifier {
    struct console *console;
    struct names *names;
    struct tls_context *tls;
    struct webhook_road road;
    struct notice_queue *queue;
    struct timer *timer;
    bool is_stopped, is_idle, leads;
    unsigned round;
    struct webhook_list list;
    struct watched *watched;
    size_t watched_count, next;
    struct day days[DAYS_MAX];
    size_t day_count, next_day;
    char (*done)[ID_TEXT]; /* "notice.webhook", of this look */
    size_t done_count;
    struct raised *raised;
    size_t raised_count;
};

static void keep_heard(void *arg, const char *webhook, const struct webhook_answer *answer);
static bool record_done(void *arg, const struct notice_done *done);
static void begin(void *arg);
static void rest(struct notifier *n, int64_t ms);
static void ask_lease(struct notifier *n, struct span condition, redis_on_reply *on_reply);
static void on_lease(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_holder(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_lease_again(void *arg, const struct redis_reply *reply, const struct err *err);
static void lead(struct notifier *n, bool is_leader);
static void on_list(void *arg, struct webhook_list *list, const struct err *err);
static void watch(struct notifier *n);
static void forget_unwatched(struct notifier *n);
static void next_account(struct notifier *n);
static void on_balance(void *arg, const struct redis_reply *reply, const struct err *err);
static bool find_zone(const struct notifier *n, struct span name, const struct zone **out);
static void plan_days(struct notifier *n, const struct zone *zone);
static void next_day(struct notifier *n);
static void on_notice(void *arg, const struct notice_seen *seen);
static void on_crossing(void *arg, const struct crossing *c, const char *id);
static void on_look_end(void *arg, const struct err *err);
static void wait_until_idle(const struct notifier *n);
static void release(struct notifier *n);
static void on_released(void *arg, const struct redis_reply *reply, const struct err *err);
static bool write_change(struct notifier *n, enum record_kind kind, const char *account,
                         const struct buf *body);

struct notifier *notifier_new(struct console *c, const struct addr *names, struct seat *seat,
                              struct err *err)
{
    const struct options *o = c->options;
    struct tls_context *tls = tls_client_new(o->webhook_ca_file, err);
    struct notifier *n = tls ? xcalloc(1, sizeof *n) : NULL;

    if (!n)
        return NULL;
    n->console = c;
    n->tls = tls;
    n->is_idle = true;
    n->names = names_new(c->loop, names, &names_times);
    n->road = (struct webhook_road){
        .loop = c->loop,
        .names = n->names,
        .tls = tls,
        .private_too = o->webhook_private,
        .timeout_ms = o->webhook_timeout,
    };
    n->queue = notice_queue_new(&(struct notice_queue_config){
        .road = &n->road,
        .pace = {o->webhook_retry, o->webhook_retry_longest, o->webhook_give_up},
        .derivation_key = &c->installation->derivation_key,
        .seat = seat,
        .heard = keep_heard,
        .record = record_done,
        .arg = n});
    n->timer = timer_new(c->loop, begin, n);
    timer_start(n->timer, RAISED_MS);
    return n;
}

struct webhook_road *notifier_road(struct notifier *n)
{
    return &n->road;
}

const struct notice_queue *notifier_queue(const struct notifier *n)
{
    return n->queue;
}

/* ------------------------------------------------------------------ a round begins */

static void begin(void *arg)
{
    struct notifier *n = arg;
    const struct ledger *l = &n->console->ledger;

    if (l->journal && l->projection && !l->is_stopped && redis_is_partly_ready(l->redis)) {
        n->is_idle = false;
        ask_lease(n, SPAN("NX"), on_lease);
    } else {
        rest(n, n->console->options->webhook_look);
    }
}

static void rest(struct notifier *n, int64_t ms)
{
    n->is_idle = true;
    if (!n->is_stopped)
        timer_start(n->timer, ms);
}

/* In the name of the console's writer: one that was killed finds its own lease when it is back. */
static void ask_lease(struct notifier *n, struct span condition, redis_on_reply *on_reply)
{
    char key[PARTITION_KEY];
    const struct span words[] = {
        SPAN("SET"),
        partition_key((struct partition){SIDE_ACCOUNT, 0}, "notifier", NULL, key),
        span_of(journal_writer(n->console->ledger.journal)),
        condition,
        SPAN("PX"),
        SPAN(LEASE_MS),
    };

    redis_command(n->console->ledger.redis, words, ARRAY_LEN(words), on_reply, n);
}

static void on_lease(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct notifier *n = arg;
    char key[PARTITION_KEY];
    const struct span words[] = {
        SPAN("GET"), partition_key((struct partition){SIDE_ACCOUNT, 0}, "notifier", NULL, key)};

    if (err || n->is_stopped || redis_reply_type(reply) != REDIS_NIL)
        lead(n, !err && redis_reply_type(reply) == REDIS_STATUS);
    else
        redis_command(n->console->ledger.redis, words, ARRAY_LEN(words), on_holder, n);
}

static void on_holder(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct notifier *n = arg;
    const struct journal *journal = n->console->ledger.journal;

    if (!err && !n->is_stopped && journal &&
        span_equal(redis_reply_text(reply), span_of(journal_writer(journal))))
        ask_lease(n, SPAN("XX"), on_lease_again);
    else
        lead(n, false);
}

static void on_lease_again(void *arg, const struct redis_reply *reply, const struct err *err)
{
    lead(arg, !err && redis_reply_type(reply) == REDIS_STATUS);
}

static void lead(struct notifier *n, bool is_leader)
{
    n->leads = is_leader;
    if (is_leader && !n->is_stopped) {
        webhooks_read(n->console->ledger.redis, on_list, n);
        return;
    }
    notice_queue_clear(n->queue);
    n->watched_count = 0;
    rest(n, n->console->options->webhook_look);
}

static void on_list(void *arg, struct webhook_list *list, const struct err *err)
{
    struct notifier *n = arg;

    if (err || n->is_stopped) {
        rest(n, n->console->options->webhook_look);
        return;
    }
    webhook_list_clear(&n->list);
    n->list = *list;
    *list = (struct webhook_list){0};
    notice_queue_keep(n->queue, &n->list);
    watch(n);
    forget_unwatched(n);
    n->next = 0;
    n->round++;
    next_account(n);
}

/* Both lists stand in the order of accounts. */
static void watch(struct notifier *n)
{
    struct watched *before = n->watched, *now = xcalloc(n->list.count + 1, sizeof *now);
    size_t old = 0, old_count = n->watched_count, count = 0;

    for (size_t i = 0; i < n->list.count; i++) {
        const char *account = n->list.item[i].account;

        if (n->list.item[i].state != WEBHOOK_ACTIVE ||
            (count > 0 && strcmp(now[count - 1].account, account) == 0))
            continue;
        while (old < old_count && strcmp(before[old].account, account) < 0)
            old++;
        if (old < old_count && strcmp(before[old].account, account) == 0)
            now[count] = before[old];
        else
            memcpy(now[count].account, account, sizeof now[count].account);
        count++;
    }
    free(before);
    n->watched = now;
    n->watched_count = count;
}

/* What was raised for an account that has no webhook any more is not looked for. */
static void forget_unwatched(struct notifier *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n->raised_count; i++) {
        bool is_watched = false;

        for (size_t k = 0; k < n->watched_count && !is_watched; k++)
            is_watched = strcmp(n->watched[k].account, n->raised[i].account) == 0;
        if (is_watched)
            n->raised[kept++] = n->raised[i];
    }
    n->raised_count = kept;
}

/* ------------------------------------------------------------------ account after account */

static void next_account(struct notifier *n)
{
    const char *account = n->next < n->watched_count ? n->watched[n->next].account : NULL;
    char key[PARTITION_KEY];

    if (!account || n->is_stopped) {
        rest(n, n->raised_count > 0 ? RAISED_MS : n->console->options->webhook_look);
        return;
    }
    const struct span words[] = {
        SPAN("HMGET"),
        partition_key(partition_of(SIDE_ACCOUNT, span_of(account)), "account", account, key),
        SPAN("balance"), SPAN("zone")};
    redis_command(n->console->ledger.redis, words, ARRAY_LEN(words), on_balance, n);
}

/* Whatever is spent moves the balance. */
static void on_balance(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct notifier *n = arg;
    struct watched *w = &n->watched[n->next];
    struct span balance = redis_reply_text(redis_reply_at(reply, 0));
    const struct zone *zone;

    if (err || n->is_stopped ||
        (span_equal(balance, span_of(w->balance)) && n->round % FULL_ROUNDS != 0) ||
        !find_zone(n, redis_reply_text(redis_reply_at(reply, 1)), &zone)) {
        n->next++;
        next_account(n);
        return;
    }
    if (!span_copy(balance, w->balance, sizeof w->balance))
        w->balance[0] = '\0';
    plan_days(n, zone);
    next_day(n);
}

/* A console that does not know the zone leaves the account to others. */
static bool find_zone(const struct notifier *n, struct span name, const struct zone **out)
{
    char text[ZONE_TEXT];
    struct err err;

    if (!span_copy(name, text, sizeof text))
        err_set(&err, ERR_CORRUPT, "the name of its time zone is too long");
    else if (zones_find(n->console->ledger.zones, text, out, &err))
        return true;
    log_warn("zone_unknown", "no thresholds are told to account %s: %s",
             n->watched[n->next].account, err.text);
    return false;
}

static void plan_days(struct notifier *n, const struct zone *zone)
{
    int64_t now = journal_now(n->console->ledger.journal);
    const int64_t at[DAYS_MAX] = {now, now - LATE_NANOS, now - OWING_NANOS};

    n->day_count = n->next_day = 0;
    for (size_t i = 0; i < DAYS_MAX; i++) {
        struct day *day = &n->days[n->day_count];
        size_t same = i + 1 < DAYS_MAX ? DAY_TEXT - 1 : PERIOD_TEXT - 1;
        bool is_new = true;

        day_in(zone, at[i], day->text);
        day->raises = i + 1 < DAYS_MAX;
        for (size_t k = 0; k < n->day_count; k++)
            is_new = is_new && strncmp(n->days[k].text, day->text, same) != 0;
        n->day_count += is_new;
    }
}

static void next_day(struct notifier *n)
{
    static const struct notice_look_handlers handlers = {on_notice, on_crossing, on_look_end};
    struct notice_look_ask ask = {.installation = n->console->installation->id,
                                  .account = n->watched[n->next].account};

    if (n->next_day >= n->day_count) {
        n->next++;
        next_account(n);
        return;
    }
    n->done_count = 0;
    memcpy(ask.day, n->days[n->next_day].text, sizeof ask.day);
    ask.raises = n->days[n->next_day].raises;
    notice_look(n->console->ledger.redis, &ask, &handlers, n);
}

static bool is_done(const struct notifier *n, const char *notice, const char *webhook)
{
    char id[ID_TEXT];

    snprintf(id, sizeof id, "%s.%s", notice, webhook);
    for (size_t i = 0; i < n->done_count; i++)
        if (strcmp(n->done[i], id) == 0)
            return true;
    return false;
}

static void forget_raised(struct notifier *n, const char *id)
{
    for (size_t i = 0; i < n->raised_count; i++)
        if (strcmp(n->raised[i].id, id) == 0)
            n->raised[i] = n->raised[--n->raised_count];
}

/* A webhook hears of what is raised after it was made. */
static void on_notice(void *arg, const struct notice_seen *seen)
{
    struct notifier *n = arg;
    const char *account = n->watched[n->next].account;
    struct notice_offer offer = {.notice = seen->id, .raised = seen->entry};
    char month[PERIOD_TEXT];

    if (seen->is_done) {
        n->done = xrealloc_array(n->done, n->done_count + 1, sizeof *n->done);
        snprintf(n->done[n->done_count++], ID_TEXT, "%s", seen->id);
        notice_queue_forget(n->queue, seen->id);
        return;
    }
    forget_raised(n, seen->id);
    snprintf(month, sizeof month, "%.*s", PERIOD_TEXT - 1, n->days[n->next_day].text);
    offer.month = month;
    for (size_t i = 0; i < n->list.count; i++) {
        offer.webhook = &n->list.item[i];
        if (strcmp(offer.webhook->account, account) == 0 &&
            offer.webhook->state == WEBHOOK_ACTIVE && offer.webhook->at <= seen->entry.at &&
            !is_done(n, seen->id, offer.webhook->id))
            notice_queue_offer(n->queue, &offer);
    }
}

/* Once more only when Redis has heard of it and lost it again. */
static void on_crossing(void *arg, const struct crossing *c, const char *id)
{
    struct notifier *n = arg;
    AUTO_CLEAR(buf) body = {.max = RECORD_MAX};
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    struct notice_raising raising = {.id = id, .account = c->account, .period = c->period};
    struct raised *raised;

    for (size_t i = 0; i < n->raised_count; i++)
        if (strcmp(n->raised[i].id, id) == 0)
            return;
    raising.at = n->console->ledger.journal ? journal_now(n->console->ledger.journal) : 0;
    crossing_write(c, raising.at, &body);
    raising.body = buf_span(&body);
    notice_raised_write(&raising, &record);
    if (!write_change(n, RECORD_NOTICE, c->account, &record))
        return;
    n->raised = xrealloc_array(n->raised, n->raised_count + 1, sizeof *n->raised);
    raised = &n->raised[n->raised_count++];
    snprintf(raised->id, sizeof raised->id, "%s", id);
    snprintf(raised->account, sizeof raised->account, "%s", c->account);
    log_info("threshold_reached", "account %s%s%s%s%s has reached %u %% of its budget of %s: %s",
             c->account, c->key ? ", key " : "", c->key ? c->key : "", c->model ? ", model " : "",
             c->model ? c->model : "", c->percent, c->period, id);
}

static bool has_raised(const struct notifier *n, const char *account)
{
    for (size_t i = 0; i < n->raised_count; i++)
        if (strcmp(n->raised[i].account, account) == 0)
            return true;
    return false;
}

/* What was raised is looked for again soon, and so is what could not be seen. */
static void on_look_end(void *arg, const struct err *err)
{
    struct notifier *n = arg;

    if (err || has_raised(n, n->watched[n->next].account))
        n->watched[n->next].balance[0] = '\0';
    if (err)
        n->next_day = n->day_count;
    else
        n->next_day++;
    next_day(n);
}

/* ------------------------------------------------------------------ what is kept */

static void keep_heard(void *arg, const char *webhook, const struct webhook_answer *answer)
{
    struct notifier *n = arg;

    webhook_heard_keep(n->console->ledger.redis, webhook, clock_now(), answer->text);
}

static void on_durable(void *arg)
{
    struct notifier *n = arg;

    if (n->console->ledger.projection)
        projection_wake(n->console->ledger.projection);
}

static bool write_change(struct notifier *n, enum record_kind kind, const char *account,
                         const struct buf *body)
{
    const struct ledger *l = &n->console->ledger;
    const struct journal_change change = {kind, buf_span(body),
                                          partition_of(SIDE_ACCOUNT, span_of(account))};
    struct err err;

    if (!l->journal || l->is_stopped || n->is_stopped)
        return false;
    if (journal_change(l->journal, &change, on_durable, n, &err))
        return true;
    log_error("webhook_unrecorded", "it is tried again: %s", err.text);
    return false;
}

static bool record_done(void *arg, const struct notice_done *asked)
{
    struct notifier *n = arg;
    struct journal *journal = n->console->ledger.journal;
    AUTO_CLEAR(buf) record = {.max = RECORD_MAX};
    AUTO_CLEAR(buf) ended = {.max = RECORD_MAX};
    struct notice_done done = *asked;

    if (!journal)
        return false;
    done.at = journal_now(journal);
    notice_done_write(&done, &record);
    webhook_ended_write(
        &(struct webhook_ending){
            .id = done.webhook, .account = done.account, .is_gone = true, .at = done.at},
        &ended);
    return write_change(n, RECORD_NOTICE, done.account, &record) &&
           (!done.is_gone || write_change(n, RECORD_WEBHOOK, done.account, &ended));
}

/* ------------------------------------------------------------------ the end */

void notifier_stop(struct notifier *n)
{
    if (!n)
        return;
    n->is_stopped = true;
    timer_stop(n->timer);
    notice_queue_clear(n->queue);
    webhook_road_end(&n->road);
    wait_until_idle(n);
    if (n->leads && redis_is_partly_ready(n->console->ledger.redis))
        release(n);
}

static void wait_until_idle(const struct notifier *n)
{
    if (!loop_run_until(n->console->loop, &n->is_idle, STOP_MS))
        log_warn("notifier_stopped", "Redis did not answer in time");
}

/* So that whoever comes next, after a reload, need not wait until the lease is over. */
static void release(struct notifier *n)
{
    char key[PARTITION_KEY];
    const struct span words[] = {
        SPAN("DEL"), partition_key((struct partition){SIDE_ACCOUNT, 0}, "notifier", NULL, key)};

    n->is_idle = false;
    redis_command(n->console->ledger.redis, words, ARRAY_LEN(words), on_released, n);
    wait_until_idle(n);
}

static void on_released(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct notifier *n = arg;

    (void)reply;
    (void)err;
    n->is_idle = true;
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    notice_queue_free(n->queue);
    timer_free(n->timer);
    names_free(n->names);
    tls_context_free(n->tls);
    webhook_list_clear(&n->list);
    free(n->watched);
    free(n->done);
    free(n->raised);
    free(n);
}
