/* csv.h - tables for finance after RFC 4180: CRLF after every row, cells quoted where they must be.
 *
 * A cell of text never becomes a formula: spreadsheets run what begins with '=', '+', '-', '@', a
 * tab or a line break (OWASP, "CSV Injection"; the full-width forms of the signs too), so such text
 * gets an apostrophe in front, and so does text that begins with an apostrophe. Taking one leading
 * apostrophe away from a cell of text therefore always gives back what was written. Numbers are
 * written as they are: -12.3 stays a number. */
#ifndef TOLLGATE_BILLING_CSV_H
#define TOLLGATE_BILLING_CSV_H

#include "billing/money.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Appends to a buf and fails as the buf does. */
struct csv {
    struct buf *out;
    bool in_row;
};

void csv_init(struct csv *c, struct buf *out);
void csv_text(struct csv *c, struct span text);
void csv_int(struct csv *c, int64_t n);
void csv_amount(struct csv *c, int128 nanos); /* the shortest decimal */
void csv_row_end(struct csv *c);
/* A row of `count` cells of text. */
void csv_row(struct csv *c, const char *const *cells, size_t count);

/* A row read back; cells of text come without the apostrophe that csv_text() put in front. */
#define CSV_CELLS_MAX 32
struct csv_row {
    size_t count;
    size_t end[CSV_CELLS_MAX]; /* of each cell in `text` */
    struct buf text;
};
void csv_row_clear(struct csv_row *row);
DEFINE_AUTO_CLEAR(csv_row)
/* Takes the next row from `rest`; ERR_CORRUPT when it is no whole row as csv_row_end() ends one. */
bool csv_read_row(struct span *rest, struct csv_row *row, struct err *err) MUST_USE;
struct span csv_cell(const struct csv_row *row, size_t i);

#endif
