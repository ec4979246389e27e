/* conf_reference.c - the option tables as a commented config file: what it says is what conf.c enforces. */
#include "lib/base/conf.h"
#include "lib/base/conf_value.h"

#define COLUMNS 100

static void print_options(struct buf *out, const struct conf_option *options, size_t count,
                          const char *indent);
static void print_about(struct buf *out, const struct conf_option *option, const char *indent);
static void print_comment(struct buf *out, struct span text, const char *indent);
static void print_setting(struct buf *out, const struct conf_option *option, const char *indent);
static void print_section(struct buf *out, const struct conf_section *section);
static void print_quoted(struct buf *out, const char *text);

void conf_print_reference(const struct conf_table *table, struct buf *out)
{
    print_options(out, table->options, table->option_count, "");
    for (size_t i = 0; i < table->section_count; i++)
        print_section(out, &table->sections[i]);
}

static void print_options(struct buf *out, const struct conf_option *options, size_t count,
                          const char *indent)
{
    for (size_t i = 0; i < count; i++) {
        print_about(out, &options[i], indent);
        print_setting(out, &options[i], indent);
        buf_add_string(out, "\n");
    }
}

static void print_about(struct buf *out, const struct conf_option *option, const char *indent)
{
    AUTO_CLEAR(buf) text = {.max = 8192};

    buf_add_string(&text, option->about);
    if (option->type != CONF_STRING) {
        buf_add_string(&text, " It is ");
        conf_value_allowed(option, &text);
        buf_add_char(&text, '.');
    }
    print_comment(out, buf_span(&text), indent);
}

/* Wraps at blanks. */
static void print_comment(struct buf *out, struct span text, const char *indent)
{
    size_t column = 0;

    while (text.len > 0) {
        const char *blank = memchr(text.data, ' ', text.len);
        size_t n = blank ? (size_t)(blank - text.data) : text.len;

        if (column && column + 1 + n > COLUMNS) {
            buf_add_char(out, '\n');
            column = 0;
        }
        if (column == 0) {
            buf_printf(out, "%s#", indent);
            column = strlen(indent) + 1;
        }
        buf_printf(out, " %.*s", (int)n, text.data);
        column += 1 + n;
        n += blank != NULL;
        text = (struct span){text.data + n, text.len - n};
    }
    buf_add_char(out, '\n');
}

/* An option without default is shown, but not set. */
static void print_setting(struct buf *out, const struct conf_option *option, const char *indent)
{
    bool is_plain = option->type == CONF_INT || option->type == CONF_BOOL;

    buf_printf(out, "%s%s%s = ", indent, option->initial ? "" : "#", option->name);
    if (option->initial && is_plain)
        buf_add_string(out, option->initial);
    else
        print_quoted(out, option->initial ? option->initial : "");
    buf_add_char(out, '\n');
}

/* A dollar sign would let libconfuse look into the environment. */
static void print_quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (; *text; text++) {
        if (strchr("\"\\$", *text))
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

/* There is no default section: all of it is an example. */
static void print_section(struct buf *out, const struct conf_section *section)
{
    print_comment(out, span_of(section->about), "");
    buf_printf(out, "#%s \"name\" {\n", section->name);
    print_options(out, section->options, section->option_count, "#    ");
    buf_add_string(out, "#}\n\n");
}
