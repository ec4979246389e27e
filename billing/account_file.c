/* account_file.c - what calls and refunds come to is the tally's, all else the terms'. */
#include "billing/account_file.h"

#include <stdio.h>

#include "billing/csv.h"
#include "billing/record.h"

/* Columns that stand in the terms, by the kind of their records. */
static const struct {
    const char *name;
    enum record_kind kind;
} columns[] = {{"credited", RECORD_CREDIT},
               {"granted", RECORD_GRANT},
               {"expired", RECORD_EXPIRY},
               {"adjusted", RECORD_ADJUST}};

#define NAME_TEXT (ID_TEXT + CURRENCY_TEXT + 16)

static void add_names(struct sum_table *names, const struct sum_table *from, bool has_kind);
static void write_row(const struct tally *t, const struct terms *terms, const char *name,
                      struct csv *c);
static int128 nanos_of(const struct sum_table *t, const char *name);

int64_t accounts_csv(const struct tally *t, const struct terms *terms, struct buf *out)
{
    AUTO(sum_table) names = sum_table_new(); /* "account currency" */
    struct csv c;

    add_names(names, t->accounts, false);
    add_names(names, t->account_refunds, false);
    add_names(names, terms->funds, true);
    sum_table_sort(names);
    csv_init(&c, out);
    csv_text(&c, SPAN("period"));
    csv_text(&c, SPAN("account"));
    csv_text(&c, SPAN("currency"));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        csv_text(&c, span_of(columns[i].name));
    csv_text(&c, SPAN("refunded"));
    csv_text(&c, SPAN("charged"));
    csv_text(&c, SPAN("change"));
    csv_row_end(&c);
    for (size_t i = 0; i < sum_table_count(names); i++)
        write_row(t, terms, sum_table_at(names, i)->name, &c);
    return (int64_t)sum_table_count(names);
}

static void add_names(struct sum_table *names, const struct sum_table *from, bool has_kind)
{
    for (size_t i = 0; i < sum_table_count(from); i++) {
        const char *name = sum_table_at(from, i)->name;

        (void)sum_table_row(names, span_of(has_kind ? strchr(name, ' ') + 1 : name));
    }
}

static void write_row(const struct tally *t, const struct terms *terms, const char *name,
                      struct csv *c)
{
    int128 refunded = nanos_of(t->account_refunds, name), charged = nanos_of(t->accounts, name);
    int128 change = refunded - charged;
    size_t account = strcspn(name, " ");
    char with_kind[NAME_TEXT];

    csv_text(c, span_of(terms->period.text));
    csv_text(c, (struct span){name, account});
    csv_text(c, span_of(name + account + 1));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        snprintf(with_kind, sizeof with_kind, "%s %s", record_kind_name(columns[i].kind), name);
        change += nanos_of(terms->funds, with_kind);
        csv_amount(c, nanos_of(terms->funds, with_kind));
    }
    csv_amount(c, refunded);
    csv_amount(c, -charged);
    csv_amount(c, change);
    csv_row_end(c);
}

static int128 nanos_of(const struct sum_table *t, const char *name)
{
    const struct sum *row = sum_table_find(t, span_of(name));

    return row ? row->nanos : 0;
}
