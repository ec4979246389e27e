/* settlement_report.h - a report's statements, read from the bundle that was written. */
#ifndef TOLLGATE_BILLING_SETTLEMENT_REPORT_H
#define TOLLGATE_BILLING_SETTLEMENT_REPORT_H

#include "billing/settlement.h"

/* Reads dir/statements.jsonl; `shown_dir` (may be null) is what the report names. */
bool settlement_report_load(struct settlement_report *r, const char *dir, const char *shown_dir,
                            struct err *err) MUST_USE;

#endif
