/* reasons.h - why something is refused, all of it at once: one clear sentence each, in the order
 * found. */
#ifndef TOLLGATE_BILLING_REASONS_H
#define TOLLGATE_BILLING_REASONS_H

#include "lib/base/json.h"

#define REASONS_MAX 100 /* more are counted, not kept */

struct reasons {
    size_t count; /* found */
    size_t kept;
    char *sentence[REASONS_MAX];
};
void reasons_clear(struct reasons *r);
DEFINE_AUTO_CLEAR(reasons)
void reasons_add(struct reasons *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* ["…", …] */
void reasons_write(const struct reasons *r, struct jw *w);
/* The first as an error, saying how many more there are; true when there is none. */
bool reasons_none(const struct reasons *r, struct err *err) MUST_USE;

#endif
