/* statement_files.h - statements as the tables that people and programs read. Amounts are
 * shortest decimals, exact to the nano. */
#ifndef TOLLGATE_BILLING_STATEMENT_FILES_H
#define TOLLGATE_BILLING_STATEMENT_FILES_H

#include "billing/statement.h"

/* A header row, then a row a statement:
 * statement,creator,period,currency,opening,gross,refunds,earned,adjustments,tax,payout,closing */
void statements_csv(const struct statements *s, struct buf *out);
/* The same members as JSON, an object a line; last, the trailer:
 * {"period","statements","totals":[{"currency","statements", the same
 * sums,"platform","books":{"clients","platform","payable","payouts","brought_forward"}}]}; the
 * five of "books" sum to zero. */
void statements_jsonl(const struct statements *s, struct buf *out);
/* A header row, then a row for each creator's part of each party:
 * statement,creator,period,currency,orig_period,model,contract,share_bp,owners,weight,
 * model_calls,model_gross,model_refunds,model_net,gross,refunded,earned,refunds,platform.
 * orig_period is the period of the calls: in rows of an earlier one only its refunds stand, which
 * restate it. model_net is what is left of the party after all corrections so far: the next close
 * that corrects it goes on from there. platform = gross - refunded - (earned - refunds). The sums
 * of gross, earned, refunds and platform are those of the statements. */
void lines_csv(const struct statements *s, struct buf *out);
/* From a lines.csv: the model_net of each party, by parties_name_of_period(). */
bool lines_csv_nets(struct span csv, struct sum_table *nets, struct err *err) MUST_USE;

#endif
