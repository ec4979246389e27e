/* notice_queue.c - a list, gone through whenever something is due. It is short: a crossing is rare. */
#include "gateway/notice_queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define RECORD_AGAIN_MS 1000
#define IDLE_MS         60000

enum delivery_state {
    DELIVERY_WAITING,
    DELIVERY_SENDING,
    DELIVERY_ENDED,    /* and not recorded yet */
    DELIVERY_RECORDED, /* stays until Redis says so too */
};

struct delivery {
    struct delivery *next;
    struct notice_queue *queue;
    char notice[NOTICE_ID_TEXT], webhook[WEBHOOK_ID_TEXT], account[ID_TEXT], month[PERIOD_TEXT];
    char *url, *body;
    int64_t raised_at, n; /* nanos, and which of its writer's records */
    int64_t due_ms;       /* monotonic */
    unsigned attempts, status;
    enum delivery_state state;
    bool is_delivered;
    struct webhook_attempt *attempt; /* while sending */
};

struct notice_queue {
    struct notice_queue_config config;
    struct timer *timer;
    struct delivery *deliveries; /* the oldest first */
    size_t count;
};

static bool is_before(const struct delivery *a, const struct delivery *b);
static void run(void *arg);
static bool is_busy(const struct notice_queue *q, const char *webhook);
static void attempt(struct delivery *d);
static void on_answer(void *arg, const struct webhook_answer *answer);
static void judge(struct delivery *d, const struct webhook_answer *answer);
static void try_later(struct delivery *d, const struct webhook_answer *answer);
static void end(struct delivery *d, bool is_delivered, const char *why);
static void record(struct delivery *d);
static void arm(struct notice_queue *q);
static struct delivery **find(struct notice_queue *q, const char *notice, const char *webhook);
static void drop(struct delivery **link);
static void count_pending(const struct notice_queue *q);

struct notice_queue *notice_queue_new(const struct notice_queue_config *config)
{
    struct notice_queue *q = xcalloc(1, sizeof *q);

    q->config = *config;
    q->timer = timer_new(config->road->loop, run, q);
    return q;
}

void notice_queue_free(struct notice_queue *q)
{
    if (!q)
        return;
    notice_queue_clear(q);
    timer_free(q->timer);
    free(q);
}

void notice_queue_offer(struct notice_queue *q, const struct notice_offer *offer)
{
    struct delivery *d, **link = &q->deliveries;

    if (*find(q, offer->notice, offer->webhook->id) || q->count >= DELIVERIES_MAX)
        return;
    d = xcalloc(1, sizeof *d);
    d->queue = q;
    snprintf(d->notice, sizeof d->notice, "%s", offer->notice);
    snprintf(d->webhook, sizeof d->webhook, "%s", offer->webhook->id);
    snprintf(d->account, sizeof d->account, "%s", offer->webhook->account);
    snprintf(d->month, sizeof d->month, "%s", offer->month);
    d->url = xstrdup(offer->webhook->url);
    d->body = xstrndup(offer->raised.body.data, offer->raised.body.len);
    d->raised_at = offer->raised.at;
    d->n = offer->raised.n;
    while (*link && !is_before(d, *link))
        link = &(*link)->next;
    d->next = *link;
    *link = d;
    q->count++;
    count_pending(q);
    timer_start(q->timer, 0);
}

static bool is_before(const struct delivery *a, const struct delivery *b)
{
    return a->raised_at < b->raised_at || (a->raised_at == b->raised_at && a->n < b->n);
}

void notice_queue_forget(struct notice_queue *q, const char *id)
{
    const char *dot = strchr(id, '.');
    char notice[NOTICE_ID_TEXT];
    struct delivery **link;

    if (!dot || !span_copy((struct span){id, (size_t)(dot - id)}, notice, sizeof notice))
        return;
    link = find(q, notice, dot + 1);
    if (*link)
        drop(link);
}

void notice_queue_keep(struct notice_queue *q, const struct webhook_list *list)
{
    for (struct delivery **link = &q->deliveries; *link;) {
        const struct webhook *w = webhook_list_find(list, (*link)->webhook);

        if (w && w->state == WEBHOOK_ACTIVE)
            link = &(*link)->next;
        else
            drop(link);
    }
}

void notice_queue_clear(struct notice_queue *q)
{
    while (q->deliveries)
        drop(&q->deliveries);
}

/* Where it hangs in the list, or the list's end. */
static struct delivery **find(struct notice_queue *q, const char *notice, const char *webhook)
{
    struct delivery **link = &q->deliveries;

    while (*link &&
           !(strcmp((*link)->notice, notice) == 0 && strcmp((*link)->webhook, webhook) == 0))
        link = &(*link)->next;
    return link;
}

static void drop(struct delivery **link)
{
    struct delivery *d = *link;
    struct notice_queue *q = d->queue;

    if (d->attempt)
        webhook_abandon(d->attempt);
    *link = d->next;
    free(d->url);
    free(d->body);
    free(d);
    q->count--;
    count_pending(q);
}

/* ------------------------------------------------------------------ attempts */

static void run(void *arg)
{
    struct notice_queue *q = arg;
    int64_t now = clock_monotonic_ms();

    for (struct delivery *d = q->deliveries; d; d = d->next) {
        if (d->state == DELIVERY_ENDED && d->due_ms <= now)
            record(d);
        else if (d->state == DELIVERY_WAITING && d->due_ms <= now && !is_busy(q, d->webhook))
            attempt(d);
    }
    arm(q);
}

static bool is_busy(const struct notice_queue *q, const char *webhook)
{
    for (const struct delivery *d = q->deliveries; d; d = d->next)
        if (d->state == DELIVERY_SENDING && strcmp(d->webhook, webhook) == 0)
            return true;
    return false;
}

/* What is busy is gone through again when its answer comes. */
static void arm(struct notice_queue *q)
{
    int64_t now = clock_monotonic_ms(), at = now + IDLE_MS;

    for (const struct delivery *d = q->deliveries; d; d = d->next)
        if ((d->state == DELIVERY_ENDED || d->state == DELIVERY_WAITING) && d->due_ms > now &&
            d->due_ms < at)
            at = d->due_ms;
    timer_start(q->timer, at - now);
}

static void attempt(struct delivery *d)
{
    const struct notice_queue_config *config = &d->queue->config;
    const struct webhook_parcel parcel = {.url = d->url,
                                          .webhook = d->webhook,
                                          .derivation_key = config->derivation_key,
                                          .id = d->notice,
                                          .body = span_of(d->body)};

    d->attempts++;
    d->state = DELIVERY_SENDING;
    d->attempt = webhook_send(config->road, &parcel, on_answer, d);
}

static void on_answer(void *arg, const struct webhook_answer *answer)
{
    struct delivery *d = arg;
    struct notice_queue *q = d->queue;

    d->attempt = NULL;
    d->status = answer->status;
    q->config.heard(q->config.arg, d->webhook, answer);
    judge(d, answer);
    timer_start(q->timer, 0);
}

static void judge(struct delivery *d, const struct webhook_answer *answer)
{
    struct seat *seat = d->queue->config.seat;

    if (webhook_is_delivered(answer)) {
        if (seat)
            metric_add(&seat->webhooks_delivered, 1);
        log_info("webhook_delivered", "%s to %s of account %s: %s", d->notice, d->webhook,
                 d->account, answer->text);
        end(d, true, answer->text);
        return;
    }
    if (seat)
        metric_add(&seat->webhooks_failed, 1);
    if (answer->status == 410)
        end(d, false, "it answered 410: it wants no more");
    else
        try_later(d, answer);
}

/* A receiver that names a time is not asked before it. */
static void try_later(struct delivery *d, const struct webhook_answer *answer)
{
    const struct webhook_pace *pace = &d->queue->config.pace;
    int64_t age = (clock_now() - d->raised_at) / NANOS_PER_MS;
    int64_t delay = webhook_delay_ms(pace, age);

    if (delay >= 0 && answer->retry_after_ms > delay)
        delay = age + answer->retry_after_ms <= pace->give_up_ms ? answer->retry_after_ms : -1;
    if (delay < 0) {
        end(d, false, answer->text);
        return;
    }
    delay = answer->retry_after_ms == delay ? delay : webhook_jitter_ms(delay);
    d->state = DELIVERY_WAITING;
    d->due_ms = clock_monotonic_ms() + delay;
    log_warn("webhook_failed", "%s to %s of account %s, attempt %u: %s; again in %" PRId64 " ms",
             d->notice, d->webhook, d->account, d->attempts, answer->text, delay);
}

static void end(struct delivery *d, bool is_delivered, const char *why)
{
    struct seat *seat = d->queue->config.seat;

    d->is_delivered = is_delivered;
    d->state = DELIVERY_ENDED;
    d->due_ms = 0;
    if (is_delivered)
        return;
    if (seat)
        metric_add(&seat->webhooks_given_up, 1);
    log_error("webhook_given_up", "%s to %s of account %s after %u attempts: %s", d->notice,
              d->webhook, d->account, d->attempts, why);
}

static void record(struct delivery *d)
{
    const struct notice_queue_config *config = &d->queue->config;
    const struct notice_done done = {.notice = d->notice,
                                     .webhook = d->webhook,
                                     .account = d->account,
                                     .month = d->month,
                                     .is_delivered = d->is_delivered,
                                     .is_gone = d->status == 410,
                                     .status = d->status};

    if (config->record(config->arg, &done))
        d->state = DELIVERY_RECORDED;
    else
        d->due_ms = clock_monotonic_ms() + RECORD_AGAIN_MS;
    count_pending(d->queue);
}

/* ------------------------------------------------------------------ what is told */

static void count_pending(const struct notice_queue *q)
{
    if (q->config.seat)
        metric_set(&q->config.seat->webhooks_pending, notice_queue_pending(q, NULL));
}

size_t notice_queue_pending(const struct notice_queue *q, const char *webhook)
{
    size_t count = 0;

    for (const struct delivery *d = q->deliveries; d; d = d->next)
        count += d->state != DELIVERY_RECORDED && (!webhook || strcmp(d->webhook, webhook) == 0);
    return count;
}
