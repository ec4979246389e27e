/* unit.h - what is counted and priced: an open table of disjoint units, each with its parent and
 * scale. */
#ifndef TOLLGATE_BILLING_UNIT_H
#define TOLLGATE_BILLING_UNIT_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

enum unit_side {
    UNIT_INPUT,
    UNIT_OUTPUT,
    UNIT_OTHER
}; /* what bounds it in a worst case: the body, the output cap, or n */

struct unit {
    const char *name;   /* "cached_input_tokens" */
    const char *parent; /* charged as this when it has no price of its own; null: must be priced */
    int64_t scale;      /* its price is per this many: 1000000 or 1 */
    enum unit_side side;
    const char *about;
};

/* Null when there is no such unit. Rows are static: units are compared by pointer. */
const struct unit *unit_find(struct span name);
bool unit_is_token(const struct unit *unit); /* counted by token rates */
size_t unit_count(void);
const struct unit *unit_at(size_t i);

/* Where a number comes from. */
enum provenance { FROM_UPSTREAM, COUNTED, ESTIMATED };
const char *provenance_name(enum provenance p); /* upstream, counted, estimated */
bool provenance_parse(struct span word, enum provenance *out) MUST_USE;

#define TOKENS_MAX INT64_C(1000000000000000) /* of one call, for rates: more counts as this */

/* What one call used. Zero is a value; a unit that is not listed is missing, not zero. */
#define USED_MAX 16
struct used {
    size_t count;
    struct {
        const struct unit *unit;
        int64_t n; /* ≥ 0 */
        enum provenance provenance;
    } item[USED_MAX];
};
/* Sets or replaces. ERR_LIMIT when USED_MAX units are there already. */
bool used_set(struct used *u, const struct unit *unit, int64_t n, enum provenance p,
              struct err *err) MUST_USE;
const int64_t *used_get(const struct used *u, const char *unit); /* null: missing */

#endif
