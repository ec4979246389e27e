/* csv.c - more is quoted than RFC 4180 asks: semicolons and tabs, which spreadsheets of other
 * countries take for separators, blanks at the ends, which some readers trim, and an empty first
 * cell, so that no row is a blank line. */
#include "billing/csv.h"

static void separate(struct csv *c);
static bool is_formula(struct span text);
static bool needs_quotes(struct span text, bool is_first);
static void add_doubling_quotes(struct buf *out, struct span text);

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
