/* route.c - matches paths segment by segment; a table of a dozen rows needs no cleverness. */
#include "gateway/route.h"

#include <ctype.h>
#include <stdio.h>

static bool match_path(const char *pattern, struct span path, struct route_match *out, bool *bad);
static bool take_param(struct span text, struct route_match *out);
static bool percent_decode(struct span text, bool plus_is_blank, char *out, size_t out_size);
static int hex_digit(char c);

enum route_result route_find(const struct route *table, size_t count, struct span method,
                             struct span path, struct route_match *out)
{
    bool known = false, bad = false;

    for (size_t i = 0; i < count; i++) {
        struct route_match match = {.route = &table[i]};

        if (!match_path(table[i].pattern, path, &match, &bad))
            continue;
        known = true;
        if (span_equal(method, span_of(table[i].method))) {
            *out = match;
            return ROUTE_FOUND;
        }
    }
    return known ? ROUTE_WRONG_METHOD : bad ? ROUTE_BAD_PATH : ROUTE_NO_PATH;
}

const char *route_methods(const struct route *table, size_t count, struct span path,
                          char out[ROUTE_METHODS_TEXT])
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        struct route_match match = {.route = &table[i]};
        bool bad;

        if (match_path(table[i].pattern, path, &match, &bad) && n < ROUTE_METHODS_TEXT)
            n += (size_t)snprintf(out + n, ROUTE_METHODS_TEXT - n, "%s%s", n ? ", " : "",
                                  table[i].method);
    }
    return out;
}

static struct span segment(struct span rest)
{
    const char *slash = memchr(rest.data, '/', rest.len);

    return (struct span){rest.data, slash ? (size_t)(slash - rest.data) : rest.len};
}

/* Pattern and path are walked together, both beginning with '/'. */
static bool match_path(const char *pattern, struct span path, struct route_match *out, bool *bad)
{
    struct span want = span_of(pattern), have = path;

    while (want.len && have.len) {
        struct span name, text;

        if (*want.data != '/' || *have.data != '/')
            return false;
        name = segment((struct span){want.data + 1, want.len - 1});
        text = segment((struct span){have.data + 1, have.len - 1});
        if (name.len && name.data[0] == ':') {
            if (name.data[name.len - 1] == '+')
                text = (struct span){have.data + 1, have.len - 1};
            if (!text.len)
                return false;
            if (!take_param(text, out)) {
                *bad = true;
                return false;
            }
        } else if (!span_equal(name, text)) {
            return false;
        }
        want = (struct span){name.data + name.len, want.len - 1 - name.len};
        have = (struct span){text.data + text.len, have.len - 1 - text.len};
    }
    return !want.len && !have.len;
}

static bool take_param(struct span text, struct route_match *out)
{
    return out->count < ROUTE_PARAMS &&
           percent_decode(text, false, out->value[out->count++], ROUTE_PARAM_TEXT);
}

static bool percent_decode(struct span text, bool plus_is_blank, char *out, size_t out_size)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_digit(text.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (!c || n + 1 >= out_size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool route_table_is_complete(const struct route *table, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].access == ACCESS_UNSTATED || !table[i].handle)
            return err_set(err, ERR_INPUT, "route %s %s states no %s", table[i].method,
                           table[i].pattern, table[i].handle ? "access" : "handler");
    return true;
}

enum query_result query_get(struct span query, const char *name, char *out, size_t out_size)
{
    struct span want = span_of(name);

    while (query.len) {
        const char *amp = memchr(query.data, '&', query.len);
        size_t len = amp ? (size_t)(amp - query.data) : query.len;
        struct span pair = {query.data, len};

        if (pair.len > want.len && span_starts(pair, want) && pair.data[want.len] == '=')
            return percent_decode((struct span){pair.data + want.len + 1, pair.len - want.len - 1},
                                  true, out, out_size)
                       ? QUERY_FOUND
                       : QUERY_BAD;
        query = (struct span){query.data + len + (amp != NULL), query.len - len - (amp != NULL)};
    }
    return QUERY_ABSENT;
}
