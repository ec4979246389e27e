/* clock.h - the only source of time.
 *
 * Wall time is int64 nanoseconds since 1970-01-01T00:00:00Z, plus the process's offset (`--clock`), which
 * children inherit over fork. Monotonic time measures intervals and ignores the offset. */
#ifndef TOLLGATE_BASE_CLOCK_H
#define TOLLGATE_BASE_CLOCK_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/zone.h"

#define NANOS_PER_SECOND INT64_C(1000000000)
#define NANOS_PER_MS INT64_C(1000000)

int64_t clock_now(void);
int64_t clock_monotonic(void);
int64_t clock_monotonic_ms(void);

/* Set once at start, before any thread or child. */
void clock_set_offset(int64_t nanos);
int64_t clock_offset(void);

/* RFC 3339 in UTC with milliseconds, "2026-11-22T10:52:55.123Z"; the array must have CLOCK_TEXT bytes. */
#define CLOCK_TEXT 32
const char *clock_format(int64_t nanos, char out[CLOCK_TEXT]);
/* RFC 3339 with any offset and 0 to 9 decimals. ERR_INPUT with a sentence otherwise. */
bool clock_parse(struct span text, int64_t *nanos, struct err *err) MUST_USE;

/* The platform's civil zone ("Asia/Shanghai"), set once at start; ERR_INPUT if the machine does not know it. */
bool clock_set_zone(const char *zone, struct err *err) MUST_USE;
struct civil clock_civil(int64_t nanos);
/* The instant at which that civil day begins there, as zone_civil_start() says. */
int64_t clock_civil_start(struct civil day);

#endif
