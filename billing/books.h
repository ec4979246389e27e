/* books.h - double entry: every entry's postings sum to zero in every currency, so the books do.
 *
 * Signs: what is owed to somebody is positive. Accounts: "client:<account>" (what clients were
 * charged, negative), "platform:revenue", "creator:<id>:payable", "creator:<id>:payout",
 * "brought-forward". */
#ifndef TOLLGATE_BILLING_BOOKS_H
#define TOLLGATE_BILLING_BOOKS_H

#include "billing/money.h"

#define BOOK_ACCOUNT_TEXT 96

struct books;
struct books *books_new(void) MUST_USE;
void books_free(struct books *b);
DEFINE_AUTO(books)

/* Postings between two books_entry_end() are one entry; that they sum to zero is asserted there. */
void books_post(struct books *b, const char *account, const char *currency, int128 nanos);
void books_entry_end(struct books *b);

int128 books_balance(const struct books *b, const char *account, const char *currency);
/* Of all accounts that begin with `prefix`. */
int128 books_total(const struct books *b, const char *prefix, const char *currency);

#endif
