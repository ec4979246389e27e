/* metric.h - numbers that one process adds to and another reads at any time, in memory that both
 * see. Each has one writer at a time, so adding takes no locked instruction. */
#ifndef TOLLGATE_BASE_METRIC_H
#define TOLLGATE_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct metric {
    _Atomic uint64_t n;
};
void metric_add(struct metric *m, uint64_t n);
void metric_set(struct metric *m, uint64_t n);
uint64_t metric_get(const struct metric *m);

/* Times, by bounds that double from 0.25 ms to 131 s. */
#define HISTOGRAM_BOUNDS 20
struct histogram {
    struct metric bucket[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last is above all bounds */
    struct metric sum_nanos;
};
void histogram_add(struct histogram *h, int64_t nanos);
int64_t histogram_bound(size_t i); /* nanoseconds; inclusive */

#endif
