/* period.h - settlement months in the platform's zone: "2026-11". */
#ifndef TOLLGATE_BILLING_PERIOD_H
#define TOLLGATE_BILLING_PERIOD_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"

#define PERIOD_TEXT 8
#define DAY_TEXT    11

struct period {
    char text[PERIOD_TEXT];
};

struct period period_of(int64_t nanos);
bool period_parse(struct span text, struct period *out, struct err *err) MUST_USE;
int64_t period_start(struct period p); /* the first instant */
int64_t period_end(struct period p);   /* the first instant of the next */
struct period period_next(struct period p);
int period_compare(struct period a, struct period b);
const char *day_of(int64_t nanos, char out[DAY_TEXT]); /* "2026-11-22" in the zone */
/* The same in any zone; null: the platform's. */
const char *day_in(const struct zone *zone, int64_t nanos, char out[DAY_TEXT]);
/* A date that there is, so spelled. */
bool day_parse(struct span text, struct civil *out) MUST_USE;
/* The same for event after event: the zone's rules are asked once a minute of theirs, and no zone changes its day within
 * one. Begins all zero; the text is good until the next call. */
struct known_day {
    int64_t minute; /* its first instant */
    char text[DAY_TEXT];
};
const char *known_day_of(struct known_day *known, int64_t nanos);

#endif
