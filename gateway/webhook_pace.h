/* webhook_pace.h - when a notice is tried again: unless the config says otherwise 5 s, 25 s, 2 min, 10 min, 52 min and then
 * 3 h after the attempt before, until it is a day old. What that comes to follows from the notice's age alone, so a console that starts goes on where another was. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_PACE_H
#define TOLLGATE_GATEWAY_WEBHOOK_PACE_H

#include <stdint.h>

struct webhook_pace {
    int64_t first_ms;   /* each delay is five times the one before */
    int64_t longest_ms; /* and this at most */
    int64_t give_up_ms; /* the age of the last attempt at most */
};
/* How long after an attempt at that age the next one is due; -1: there is none. */
int64_t webhook_delay_ms(const struct webhook_pace *pace, int64_t age_ms);
/* A tenth more or less, so that what failed together is not tried together. */
int64_t webhook_jitter_ms(int64_t delay_ms);

#endif
