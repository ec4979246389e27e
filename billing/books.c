/* books.c - balances by account and currency; the entry being posted is itself a balance, which
 * must come to zero. */
#include "billing/books.h"

#include <assert.h>
#include <stdio.h>

#include "billing/sum_table.h"
#include "lib/base/mem.h"

#define NAME_TEXT (BOOK_ACCOUNT_TEXT + CURRENCY_TEXT)

struct books {
    struct sum_table *balances; /* "currency account" */
    struct sum_table *entry;    /* currency → sum of the entry's postings */
};

static struct span name_of(const char *account, const char *currency, char out[NAME_TEXT]);

struct books *books_new(void)
{
    struct books *b = xcalloc(1, sizeof *b);

    b->balances = sum_table_new();
    b->entry = sum_table_new();
    return b;
}

void books_free(struct books *b)
{
    if (!b)
        return;
    sum_table_free(b->balances);
    sum_table_free(b->entry);
    free(b);
}

void books_post(struct books *b, const char *account, const char *currency, int128 nanos)
{
    char name[NAME_TEXT];

    sum_table_row(b->balances, name_of(account, currency, name))->nanos += nanos;
    sum_table_row(b->entry, span_of(currency))->nanos += nanos;
}

static struct span name_of(const char *account, const char *currency, char out[NAME_TEXT])
{
    int n = snprintf(out, NAME_TEXT, "%s %s", currency, account);

    assert(n > 0 && n < NAME_TEXT);
    return (struct span){out, (size_t)n};
}

void books_entry_end(struct books *b)
{
    for (size_t i = 0; i < sum_table_count(b->entry); i++)
        assert(sum_table_at(b->entry, i)->nanos == 0);
}

int128 books_balance(const struct books *b, const char *account, const char *currency)
{
    char name[NAME_TEXT];
    const struct sum *s = sum_table_find(b->balances, name_of(account, currency, name));

    return s ? s->nanos : 0;
}

int128 books_total(const struct books *b, const char *prefix, const char *currency)
{
    char name[NAME_TEXT];
    struct span start = name_of(prefix, currency, name);
    int128 total = 0;

    for (size_t i = 0; i < sum_table_count(b->balances); i++) {
        const struct sum *s = sum_table_at(b->balances, i);

        if (span_starts(span_of(s->name), start))
            total += s->nanos;
    }
    return total;
}
