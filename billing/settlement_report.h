/* settlement_report.h - a report's statements, read from the bundle that was written. */
#ifndef TOLLGATE_BILLING_SETTLEMENT_REPORT_H
#define TOLLGATE_BILLING_SETTLEMENT_REPORT_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct settlement_report;

/* Reads dir/statements.jsonl; `shown_dir` (may be null) is what the report names. */
bool settlement_report_load(struct settlement_report *r, const char *dir, const char *shown_dir,
                            struct err *err) MUST_USE;

#endif
