/* notice_queue.h - notices on their way to webhooks, in the memory of the console that delivers: each is tried at once, then
 * again at growing distances (webhook_pace.h), to one webhook one at a time. What must outlive the console is recorded by its
 * owner; what is here can be filled again from Redis at any moment. */
#ifndef TOLLGATE_GATEWAY_NOTICE_QUEUE_H
#define TOLLGATE_GATEWAY_NOTICE_QUEUE_H

#include "billing/webhook_record.h"
#include "gateway/board.h"
#include "gateway/webhook_list.h"
#include "gateway/webhook_pace.h"
#include "gateway/webhook_send.h"

#define DELIVERIES_MAX 2000 /* further ones wait in Redis */

struct notice_queue_config {
    struct webhook_road *road; /* borrowed */
    struct webhook_pace pace;
    const struct secret *derivation_key; /* borrowed */
    struct seat *seat;                   /* counts; null: nobody does */
    /* What a webhook's receiver did: it answered, or not. */
    void (*heard)(void *arg, const char *webhook, const struct webhook_answer *answer);
    /* With its time still to be filled in. False: it could not be written, and is asked again. */
    bool (*record)(void *arg, const struct notice_done *done);
    void *arg;
};

struct notice_queue;
struct notice_queue *notice_queue_new(const struct notice_queue_config *config) MUST_USE;
/* Attempts under way are abandoned; who ends their road sees them out. */
void notice_queue_free(struct notice_queue *q);

/* A notice that Redis says was raised, and not that it is done. One that is there already stays as it is. */
struct notice_offer {
    const struct webhook *webhook;
    const char *notice, *month;
    struct first_entry raised; /* the earlier one goes first */
};
void notice_queue_offer(struct notice_queue *q, const struct notice_offer *offer);
/* Redis has it that "notice.webhook" is done. */
void notice_queue_forget(struct notice_queue *q, const char *id);
/* What is for other webhooks than the active ones of `list` goes. */
void notice_queue_keep(struct notice_queue *q, const struct webhook_list *list);
void notice_queue_clear(struct notice_queue *q);

/* Of one webhook (null: of all) how many are on their way. */
size_t notice_queue_pending(const struct notice_queue *q, const char *webhook);

#endif
