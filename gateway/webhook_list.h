/* webhook_list.h - the webhooks of all accounts, as Redis has them. */
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

#endif
