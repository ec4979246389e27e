/* webhook_pace.c - attempts stand at fixed ages; the next one is the first that lies far enough ahead. */
#include "gateway/webhook_pace.h"

#include <stddef.h>

#include "lib/base/rand.h"

#define GROWTH 5

int64_t webhook_delay_ms(const struct webhook_pace *pace, int64_t age_ms)
{
    int64_t delay = pace->first_ms, due = delay;

    while (due - age_ms < delay / 2 && due <= pace->give_up_ms) {
        delay = delay < pace->longest_ms / GROWTH ? delay * GROWTH : pace->longest_ms;
        due += delay;
    }
    return due <= pace->give_up_ms ? due - age_ms : -1;
}

int64_t webhook_jitter_ms(int64_t delay_ms)
{
    uint64_t tenth = (uint64_t)delay_ms / 10;

    return delay_ms - (int64_t)tenth + (int64_t)rand_below(2 * tenth + 1);
}
