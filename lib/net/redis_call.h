/* redis_call.h - a command in the form that Redis reads, kept until its answer so that it can be
 * sent again, to whichever server. */
#ifndef TOLLGATE_NET_REDIS_CALL_H
#define TOLLGATE_NET_REDIS_CALL_H

#include "lib/net/redis_node.h"

#define REDIS_CALL_MAX ((size_t)64 << 20)

struct redis_call {
    struct redis *redis;
    struct redis_call *next; /* in a list of those that wait */
    redis_on_reply *on_reply;
    void *arg;
    const struct redis_script *script; /* null: a plain command */
    struct buf bytes;
    size_t run_id_at; /* where in `bytes` the run_id stands; 0: nowhere */
    int slot;         /* REDIS_ANY_SLOT: any server */
    int64_t due_ms;
    struct redis_node *node; /* it was sent to; valid in its answer */
    uint64_t number;         /* of the command on that node's link */
    unsigned redirects;
    bool has_loaded;
    char *asked; /* send it here once, behind ASKING; null: where its slot is */
    char *why;   /* the refusal that it got last; null: none */
};
#define REDIS_ANY_SLOT (-1)

struct redis_call *redis_call_new(struct redis *r, redis_on_reply *on_reply, void *arg) MUST_USE;
void redis_call_free(struct redis_call *c);

void redis_call_plain(struct redis_call *c, const struct redis_words *words);
void redis_call_script(struct redis_call *c, const struct redis_eval *eval);
/* Writes the node's run_id where the script wants it, and sends. The node is ready. */
void redis_call_send(struct redis_call *c, struct redis_node *node, redis_on_reply *on_reply);

#endif
