/* sum_table.h - nanos and calls by name, in a table that grows. */
#ifndef TOLLGATE_BILLING_SUM_TABLE_H
#define TOLLGATE_BILLING_SUM_TABLE_H

#include "billing/money.h"

struct sum {
    char *name;
    int128 nanos;
    int64_t calls;
};
struct sum_table;
struct sum_table *sum_table_new(void) MUST_USE;
void sum_table_free(struct sum_table *t);
DEFINE_AUTO(sum_table)

/* The row of that name, made with zeros when there is none; valid until the next call. Rows are
 * numbered in the order of their making. */
struct sum *sum_table_row(struct sum_table *t, struct span name);
/* Null when there is none. */
const struct sum *sum_table_find(const struct sum_table *t, struct span name);
size_t sum_table_count(const struct sum_table *t);
const struct sum *sum_table_at(const struct sum_table *t, size_t i);
/* Orders the rows by name, bytewise. */
void sum_table_sort(struct sum_table *t);

#endif
