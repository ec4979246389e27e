/* account_file.h - accounts.csv of a bundle: by what each client's balance changed in the period, to the nano. */
#ifndef TOLLGATE_BILLING_ACCOUNT_FILE_H
#define TOLLGATE_BILLING_ACCOUNT_FILE_H

#include "billing/tally.h"
#include "billing/terms.h"

/* period, account, currency, credited, granted, expired (negative), adjusted, refunded, charged (negative), change (their
 * sum): a row for each account and currency in which anything moved, by these. The tally is sorted. Answers how many. */
int64_t accounts_csv(const struct tally *t, const struct terms *terms, struct buf *out);

#endif
