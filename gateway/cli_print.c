/* cli_print.c - columns are as wide as their widest cell, counted in characters, not bytes. */
#include "gateway/cli_print.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

#define CELL_BYTES_MAX 65536
#define COLUMNS_MAX    16

static void measure(const json_t *rows, const struct cli_column *columns, size_t count,
                    size_t widths[COLUMNS_MAX]);
static char *cell_text(const json_t *row, const char *member);
static void add_text(const json_t *value, bool with_names, struct buf *out);
static const json_t *find_member(const json_t *row, const char *path);
static size_t width_of(const char *text);
static void print_cell(const struct cli_column *column, const char *text, size_t width,
                       bool is_last);

void cli_print_list(const struct cli *c, const json_t *rows, const struct cli_column *columns,
                    size_t count, const char *none)
{
    size_t widths[COLUMNS_MAX], i;
    json_t *row;

    if (c->json) {
        json_array_foreach(rows, i, row) cli_print_json(row);
        return;
    }
    if (json_array_size(rows) == 0) {
        fprintf(stderr, "%s\n", none);
        return;
    }
    measure(rows, columns, count, widths);
    for (size_t k = 0; k < count; k++)
        print_cell(&columns[k], columns[k].title, widths[k], k + 1 == count);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < count; k++) {
            AUTO_STRING text = cell_text(row, columns[k].member);

            print_cell(&columns[k], text, widths[k], k + 1 == count);
        }
    }
}

static void measure(const json_t *rows, const struct cli_column *columns, size_t count,
                    size_t widths[COLUMNS_MAX])
{
    assert(count <= COLUMNS_MAX);
    for (size_t k = 0; k < count; k++) {
        widths[k] = width_of(columns[k].title);
        for (size_t i = 0; i < json_array_size(rows); i++) {
            AUTO_STRING text = cell_text(json_array_get(rows, i), columns[k].member);

            if (width_of(text) > widths[k])
                widths[k] = width_of(text);
        }
    }
}

/* Caller frees. What a row does not have is "-". */
static char *cell_text(const json_t *row, const char *member)
{
    AUTO_CLEAR(buf) text = {.max = CELL_BYTES_MAX};

    add_text(find_member(row, member), true, &text);
    return xstrdup(text.len && !text.failed ? text.data : "-");
}

/* Lists are joined by commas; an object inside of one shows its values only. */
static void add_text(const json_t *value, bool with_names, struct buf *out)
{
    const char *name, *between = "";
    json_t *member;
    size_t i;

    if (json_is_string(value)) {
        buf_add_string(out, json_string_value(value));
    } else if (json_is_boolean(value)) {
        buf_add_string(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)value, name, member)
        {
            buf_printf(out, "%s%s%s", between, with_names ? name : "", with_names ? " " : "");
            add_text(member, false, out);
            between = with_names ? ", " : " ";
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, member)
        {
            buf_add_string(out, i ? ", " : "");
            add_text(member, false, out);
        }
    } else if (value && !json_is_null(value)) {
        json_dump(value, out);
    }
}

static const json_t *find_member(const json_t *row, const char *path)
{
    const char *dot = strchr(path, '.');
    AUTO_STRING name = dot ? xstrndup(path, (size_t)(dot - path)) : xstrdup(path);
    const json_t *value = json_object_get(row, name);

    return dot ? find_member(value, dot + 1) : value;
}

static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const struct cli_column *column, const char *text, size_t width,
                       bool is_last)
{
    int pad = (int)(width - width_of(text));

    if (column->is_number)
        printf("%*s%s%s", pad, "", text, is_last ? "\n" : "  ");
    else if (is_last)
        printf("%s\n", text);
    else
        printf("%s%*s  ", text, pad, "");
}

void cli_print_object(const struct cli *c, const json_t *object, const struct cli_column *columns,
                      size_t count)
{
    size_t width = 0;

    if (c->json) {
        cli_print_json(object);
        return;
    }
    for (size_t k = 0; k < count; k++)
        if (width_of(columns[k].title) > width)
            width = width_of(columns[k].title);
    for (size_t k = 0; k < count; k++) {
        AUTO_STRING text = NULL;

        if (!find_member(object, columns[k].member))
            continue;
        text = cell_text(object, columns[k].member);
        printf("%s%*s  %s\n", columns[k].title, (int)(width - width_of(columns[k].title)), "",
               text);
    }
}

void cli_print_json(const json_t *value)
{
    AUTO_CLEAR(buf) text = {.max = SIZE_MAX / 2};

    if (json_dump(value, &text))
        printf("%.*s\n", SPAN_FMT(buf_span(&text)));
}
