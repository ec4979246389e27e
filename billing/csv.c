/* csv.c - more is quoted than RFC 4180 asks: semicolons and tabs, which spreadsheets of other
 * countries take for separators, blanks at the ends, which some readers trim, and an empty first
 * cell, so that no row is a blank line. */
#include "billing/csv.h"

#define CELLS_BYTES_MAX (1024 * 1024)

static void separate(struct csv *c);
static bool is_formula(struct span text);
static bool needs_quotes(struct span text, bool is_first);
static void add_doubling_quotes(struct buf *out, struct span text);
static bool read_cell(struct span *rest, struct buf *out);
static bool read_quoted(struct span *rest, struct buf *out);
static bool take(struct span *rest, const char *literal);

void csv_init(struct csv *c, struct buf *out)
{
    *c = (struct csv){.out = out};
}

void csv_text(struct csv *c, struct span text)
{
    bool is_quoted = needs_quotes(text, !c->in_row);

    separate(c);
    if (is_quoted)
        buf_add_char(c->out, '"');
    if (is_formula(text))
        buf_add_char(c->out, '\'');
    add_doubling_quotes(c->out, text);
    if (is_quoted)
        buf_add_char(c->out, '"');
}

static void separate(struct csv *c)
{
    if (c->in_row)
        buf_add_char(c->out, ',');
    c->in_row = true;
}

static bool is_formula(struct span text)
{
    static const char *const starts[] = {
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "'",
        "\xef\xbc\x9d",
        "\xef\xbc\x8b",
        "\xef\xbc\x8d",
        "\xef\xbc\xa0", /* full-width = + - @ */
    };

    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (span_starts(text, span_of(starts[i])))
            return true;
    return false;
}

static bool needs_quotes(struct span text, bool is_first)
{
    if (text.len == 0)
        return is_first;
    if (text.data[0] == ' ' || text.data[text.len - 1] == ' ')
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (memchr("\",;\t\r\n", text.data[i], 6))
            return true;
    return false;
}

static void add_doubling_quotes(struct buf *out, struct span text)
{
    while (text.len > 0) {
        const char *quote = memchr(text.data, '"', text.len);
        size_t n = quote ? (size_t)(quote - text.data) + 1 : text.len;

        buf_add(out, text.data, n);
        if (quote)
            buf_add_char(out, '"');
        text = (struct span){text.data + n, text.len - n};
    }
}

void csv_int(struct csv *c, int64_t n)
{
    separate(c);
    buf_printf(c->out, "%lld", (long long)n);
}

void csv_amount(struct csv *c, int128 nanos)
{
    char decimal[DECIMAL_TEXT];

    separate(c);
    buf_add_string(c->out, decimal_format(nanos, decimal));
}

void csv_row_end(struct csv *c)
{
    buf_add_string(c->out, "\r\n");
    c->in_row = false;
}

void csv_row(struct csv *c, const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        csv_text(c, span_of(cells[i]));
    csv_row_end(c);
}

void csv_row_clear(struct csv_row *row)
{
    buf_clear(&row->text);
    row->count = 0;
}

bool csv_read_row(struct span *rest, struct csv_row *row, struct err *err)
{
    row->count = 0;
    row->text.max = CELLS_BYTES_MAX;
    buf_truncate(&row->text, 0);
    do {
        if (row->count == CSV_CELLS_MAX || !read_cell(rest, &row->text))
            return err_set(err, ERR_CORRUPT, "a row of the table is malformed");
        row->end[row->count++] = row->text.len;
    } while (take(rest, ","));
    return take(rest, "\r\n") || err_set(err, ERR_CORRUPT, "a row of the table is cut short");
}

static bool read_cell(struct span *rest, struct buf *out)
{
    size_t n = 0;

    if (take(rest, "\""))
        return read_quoted(rest, out);
    take(rest, "'");
    while (n < rest->len && !strchr(",\r\n", rest->data[n]))
        n++;
    buf_add(out, rest->data, n);
    *rest = (struct span){rest->data + n, rest->len - n};
    return !out->failed;
}

/* Behind the opening quote. */
static bool read_quoted(struct span *rest, struct buf *out)
{
    take(rest, "'");
    do {
        const char *quote = rest->len ? memchr(rest->data, '"', rest->len) : NULL;
        size_t n = quote ? (size_t)(quote - rest->data) : 0;

        if (!quote)
            return false;
        buf_add(out, rest->data, n);
        *rest = (struct span){rest->data + n + 1, rest->len - n - 1};
    } while (take(rest, "\"") && buf_add_char(out, '"'));
    return !out->failed;
}

static bool take(struct span *rest, const char *literal)
{
    size_t n = strlen(literal);

    if (!span_starts(*rest, span_of(literal)))
        return false;
    *rest = (struct span){rest->data + n, rest->len - n};
    return true;
}

struct span csv_cell(const struct csv_row *row, size_t i)
{
    size_t start = i ? row->end[i - 1] : 0;

    return (struct span){row->text.data + start, row->end[i] - start};
}
