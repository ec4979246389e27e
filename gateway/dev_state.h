/* dev_state.h - state/dev.json (mode 0600): what a development machine keeps from one start to the
 * next. */
#ifndef TOLLGATE_GATEWAY_DEV_STATE_H
#define TOLLGATE_GATEWAY_DEV_STATE_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct dev_state {
    char *path;
    int64_t clock_offset_ms;
    char *
        since; /* first instant of the period of the first start, RFC 3339: contract and price begin here */
    /* Operations that are asked for once, with ids that are fixed before the first attempt. */
    char *account_op, *credit_op, *key_op, *creator_key_op;
    char *key, *creator_key;         /* null until they were made */
    char *upstream, *upstream_model; /* null: none; the model is null until it is known */
};

/* What was kept; or a first start's, not saved yet, with everything but the keys and upstream. */
bool dev_state_load(const char *dir, struct dev_state *out, struct err *err) MUST_USE;
bool dev_state_save(const struct dev_state *s, struct err *err) MUST_USE;
void dev_state_clear(struct dev_state *s);
DEFINE_AUTO_CLEAR(dev_state)
/* Replaces an owned string by a copy (or null). */
void dev_state_set(char **field, const char *value);
/* Replaces an operation's id by one that was never used. */
void dev_state_new_operation(char **op);

#endif
