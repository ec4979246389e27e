/* metric.c - a load and a store: whole numbers are seen, and nobody else writes. */
#include "lib/base/metric.h"

#define FIRST_BOUND_NANOS INT64_C(250000)

void metric_add(struct metric *m, uint64_t n)
{
    metric_set(m, metric_get(m) + n);
}

void metric_set(struct metric *m, uint64_t n)
{
    atomic_store_explicit(&m->n, n, memory_order_relaxed);
}

uint64_t metric_get(const struct metric *m)
{
    return atomic_load_explicit(&m->n, memory_order_relaxed);
}

void histogram_add(struct histogram *h, int64_t nanos)
{
    size_t i = 0;

    if (nanos < 0)
        nanos = 0;
    while (i < HISTOGRAM_BOUNDS && nanos > histogram_bound(i))
        i++;
    metric_add(&h->bucket[i], 1);
    metric_add(&h->sum_nanos, (uint64_t)nanos);
}

int64_t histogram_bound(size_t i)
{
    return FIRST_BOUND_NANOS << i;
}
