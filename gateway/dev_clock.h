/* dev_clock.h - a development machine's time may be set ahead, never back before what it has
 * written. */
#ifndef TOLLGATE_GATEWAY_DEV_CLOCK_H
#define TOLLGATE_GATEWAY_DEV_CLOCK_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* From `--clock TIME` (null: the kept offset stays) and the offset kept until now: the new one.
 * ERR_DENIED when the clock would stand before the newest thing under `journal`. Lets it take
 * effect. */
bool dev_clock_set(const char *time, const char *journal, int64_t *offset_ms,
                   struct err *err) MUST_USE;

#endif
