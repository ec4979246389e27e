/* sorted_runs.h - puts items of one size in order, however many: what is beyond 32 MiB is sorted a
 * run at a time into a scratch file, and the runs are merged through windows of 64 KiB each. A
 * hundred million items of 40 bytes take 32 MiB while they are added and 8 MiB while they leave. */
#ifndef TOLLGATE_BILLING_SORTED_RUNS_H
#define TOLLGATE_BILLING_SORTED_RUNS_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

#include <stddef.h>

#define SORTED_RUN_BYTES (32 * 1024 * 1024)

struct sorted_runs_config {
    size_t item_size;
    int (*compare)(const void *a, const void *b); /* as qsort() takes it */
    size_t run_bytes;                             /* 0: SORTED_RUN_BYTES */
    const char *dir; /* of the scratch file, as scratch_file_new() takes it; copied */
};
struct sorted_runs;
struct sorted_runs *sorted_runs_new(const struct sorted_runs_config *config) MUST_USE;
void sorted_runs_free(struct sorted_runs *s);
DEFINE_AUTO(sorted_runs)
/* Copies the item. */
bool sorted_runs_add(struct sorted_runs *s, const void *item, struct err *err) MUST_USE;
/* Ends the adding and starts (again) at the first. */
bool sorted_runs_start(struct sorted_runs *s, struct err *err) MUST_USE;
/* 1: an item, valid until the next call; 0: no more; -1: the file cannot be read. */
int sorted_runs_next(struct sorted_runs *s, const void **item, struct err *err) MUST_USE;

#endif
