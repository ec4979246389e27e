/* zone.h - the civil time of a place, by the rules that the machine has of it (tzdata). */
#ifndef TOLLGATE_BASE_ZONE_H
#define TOLLGATE_BASE_ZONE_H

#include "lib/base/attr.h"
#include "lib/base/civil.h"
#include "lib/base/err.h"

#define ZONE_TEXT 64 /* a name, with its end */

struct zone;
/* By its IANA name, such as "Europe/Berlin". ERR_INPUT with a sentence when the machine does not know it; what only
 * looks like a zone to some ("+08:00", "CST-8", "localtime") is none. The caller frees it. */
struct zone *zone_open(const char *name, struct err *err) MUST_USE;
void zone_free(struct zone *z);
DEFINE_AUTO(zone)

/* The date there at that instant, in seconds since 1970-01-01T00:00:00Z. */
struct civil zone_civil(const struct zone *z, int64_t seconds);
/* The first second whose date is not before `day`, whose month and day may overflow: right also where midnight is
 * skipped or comes twice, and where a whole day never was. */
int64_t zone_civil_start(const struct zone *z, struct civil day);

/* Zones that are asked for by name, each opened once: at most as many as the machine knows. */
struct zones;
struct zones *zones_new(void) MUST_USE;
void zones_free(struct zones *z);
DEFINE_AUTO(zones)
/* Good as long as `z`; null for "", which names none. ERR_UNAVAILABLE, as zone_open() says, when it cannot be had. */
bool zones_find(struct zones *z, const char *name, const struct zone **out, struct err *err) MUST_USE;

#endif
