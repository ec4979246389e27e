/* webhook_list.h - the webhooks of all accounts, as Redis has them, and what their receivers did last.
 *
 * That is kept for people to look at, by `tg:{a17}:heard`, so that it is there whichever console is asked, and survives this
 * one. No record says it: a Redis that lost it knows it again after the next attempt. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_LIST_H
#define TOLLGATE_GATEWAY_WEBHOOK_LIST_H

#include "billing/webhook_record.h"
#include "lib/net/redis.h"

enum webhook_state { WEBHOOK_ACTIVE, WEBHOOK_DELETED, WEBHOOK_GONE };
const char *webhook_state_name(enum webhook_state s);

struct webhook {
    char id[WEBHOOK_ID_TEXT], account[ID_TEXT];
    char *url;
    int64_t at; /* when it was made; nanos */
    enum webhook_state state;
    int64_t heard_at; /* when its receiver was tried last; 0: nobody knows */
    char *heard;      /* what it did then: a sentence; or null */
};
struct webhook_list { /* by account, then by time */
    size_t count;
    struct webhook *item;
};
void webhook_list_clear(struct webhook_list *list);
DEFINE_AUTO_CLEAR(webhook_list)
const struct webhook *webhook_list_find(const struct webhook_list *list, const char *id);

/* `err`: of some partition; the list has those of all others. A callback may take the list by copying and zeroing it. */
typedef void webhooks_on_read(void *arg, struct webhook_list *list, const struct err *err);
void webhooks_read(struct redis *redis, webhooks_on_read *on_read, void *arg);
/* The same, and an error while the list may lack some (gateway/wholeness.h) of this partition, or of any (null). */
void webhooks_read_whole(struct redis *redis, const struct partition *of, webhooks_on_read *on_read,
                         void *arg);

/* Of an attempt at `at` (nanos). Nobody waits for it. */
void webhook_heard_keep(struct redis *redis, const char *webhook, int64_t at, const char *text);

#endif
