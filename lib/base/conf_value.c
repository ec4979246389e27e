/* conf_value.c - numbers with units. Every unit is a row; the same rows read a value and print a bound. */
#include "lib/base/conf_value.h"

#include "lib/base/text.h"

struct unit {
    const char *name;
    int64_t scale;
};

static bool parse_bool(struct span text, int64_t *number);
static bool parse_quantity(struct span text, const struct unit *units, int64_t *number);
static const struct unit *unit_named(const struct unit *units, struct span name);
static void add_range(struct buf *out, const struct conf_option *option, const struct unit *units);
static void add_quantity(struct buf *out, int64_t n, const struct unit *units);

/* From the largest down; the last is what the number counts in. */
static const struct unit byte_units[] = {
    {"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {0}};
static const struct unit duration_units[] = {
    {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}, {0}};

bool conf_value_parse(const struct conf_option *option, const char *text, int64_t *number)
{
    struct span value = span_of(text);
    int64_t n = 0;
    bool ok = true;

    switch (option->type) {
    case CONF_STRING:
        *number = 0;
        return true;
    case CONF_BOOL:
        return parse_bool(value, number);
    case CONF_INT:
        ok = int64_parse(value, &n);
        break;
    case CONF_BYTES:
        ok = parse_quantity(value, byte_units, &n);
        break;
    case CONF_DURATION:
        ok = parse_quantity(value, duration_units, &n);
        break;
    }
    if (!ok || n < option->min || n > option->max)
        return false;
    *number = n;
    return true;
}

static bool parse_bool(struct span text, int64_t *number)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (span_equal(text, span_of(words[i]))) {
            *number = i % 2;
            return true;
        }
    }
    return false;
}

/* Digits, at most one blank, a unit. */
static bool parse_quantity(struct span text, const struct unit *units, int64_t *number)
{
    struct span digits = {text.data, strspn(text.data, "0123456789")};
    struct span name = {text.data + digits.len, text.len - digits.len};
    const struct unit *unit;
    uint64_t n;

    if (name.len > 1 && name.data[0] == ' ')
        name = (struct span){name.data + 1, name.len - 1};
    unit = unit_named(units, name);
    if (!unit || !digits_parse(digits, INT64_MAX, &n))
        return false;
    return !__builtin_mul_overflow((int64_t)n, unit->scale, number);
}

static const struct unit *unit_named(const struct unit *units, struct span name)
{
    for (; units->name; units++)
        if (span_equal(span_of(units->name), name))
            return units;
    return NULL;
}

void conf_value_allowed(const struct conf_option *option, struct buf *out)
{
    switch (option->type) {
    case CONF_STRING:
        buf_add_string(out, "text");
        break;
    case CONF_BOOL:
        buf_add_string(out, "true or false");
        break;
    case CONF_INT:
        buf_printf(out, "a whole number from %lld to %lld", (long long)option->min,
                   (long long)option->max);
        break;
    case CONF_BYTES:
        buf_add_string(out, "a size");
        add_range(out, option, byte_units);
        buf_add_string(out, ", such as \"64 KiB\", \"1 MiB\" or a number of bytes");
        break;
    case CONF_DURATION:
        buf_add_string(out, "a duration");
        add_range(out, option, duration_units);
        buf_add_string(out, ", such as \"250 ms\", \"10 s\", \"5 min\" or \"24 h\"");
        break;
    }
}

static void add_range(struct buf *out, const struct conf_option *option, const struct unit *units)
{
    buf_add_string(out, " from ");
    add_quantity(out, option->min, units);
    buf_add_string(out, " to ");
    add_quantity(out, option->max, units);
}

/* In the largest unit that divides it. */
static void add_quantity(struct buf *out, int64_t n, const struct unit *units)
{
    while (units[1].name && (n == 0 || n % units->scale != 0))
        units++;
    buf_printf(out, "%lld%s%s", (long long)(n / units->scale), units->name[0] ? " " : "",
               units->name);
}
