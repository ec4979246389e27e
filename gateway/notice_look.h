/* notice_look.h - one look at what an account has spent: which thresholds are crossed and not told yet, and which notices of the
 * month were raised. It only reads. */
#ifndef TOLLGATE_GATEWAY_NOTICE_LOOK_H
#define TOLLGATE_GATEWAY_NOTICE_LOOK_H

#include "billing/threshold.h"
#include "lib/net/redis.h"

struct notice_look_ask {
    const char *installation, *account;
    char day[DAY_TEXT];  /* at which it looks, and in whose month */
    bool raises;         /* else only the month's notices are read */
};

/* An entry of `notices`, borrowed for the callback. */
struct notice_seen {
    const char *id; /* a notice's; of one that is done "notice.webhook" */
    bool is_done;
    struct first_entry entry;
};

struct notice_look_handlers {
    void (*on_notice)(void *arg, const struct notice_seen *seen);
    /* A crossing that no notice was raised for, as far as Redis knows. */
    void (*on_crossing)(void *arg, const struct crossing *c, const char *id);
    /* The last; with `err` the look was not finished. */
    void (*on_end)(void *arg, const struct err *err);
};
/* Copies the ask; the handlers live for ever. None of them is called inside. */
void notice_look(struct redis *redis, const struct notice_look_ask *ask,
                 const struct notice_look_handlers *handlers, void *arg);

#endif
