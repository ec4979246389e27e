/* model_sums.h - what the models sold and what of it was given back, live from Redis: a period's
 * sums of all model partitions.
 *
 * With what was given back in the period of earlier calls come the sums of those calls' months,
 * since a refund restates the month that it corrects. */
#ifndef TOLLGATE_GATEWAY_MODEL_SUMS_H
#define TOLLGATE_GATEWAY_MODEL_SUMS_H

#include "billing/period.h"
#include "gateway/earning_row.h"
#include "lib/net/redis.h"

struct earning_rows {
    size_t count;
    struct earning_row *row;
};
struct model_sums {
    struct period period;
    struct earning_rows sold;     /* in the period, by terms and day */
    struct earning_rows returned; /* in any period; `period` and `orig` are set */
    struct earning_rows earlier;  /* sold in months that the period corrects; `orig` is set */
};

/* `sums` is null on failure; valid during the callback. */
typedef void model_sums_on_read(void *arg, const struct model_sums *sums, const struct err *err);
/* Of one creator's models, or of all (null). Copies `creator`. */
void model_sums_read(struct redis *redis, const char *creator, struct period period,
                     model_sums_on_read *on_read, void *arg);

#endif
