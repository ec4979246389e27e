/* jview.c - a value's end is found by counting brackets outside of strings; nothing is kept. */
#include "lib/base/jview.h"

#include "lib/base/json_plain.h"

#define NAME_MAX_BYTES 256 /* of a member's name that is looked for in its escaped form */

static const char *skip_blanks(const char *at, const char *end);
static const char *skip_string(const char *at, const char *end);
static const char *skip_value(const char *at, const char *end);
static bool ends_scalar(char c);
static bool take_value(struct jview *v, struct span *value);
static const char *unescape_one(const char *at, const char *end, struct buf *out);
static uint32_t hex4(const char *at);
static void add_utf8(uint32_t code, struct buf *out);

struct jview jview_of(struct span value)
{
    if (value.len < 2 || (value.data[0] != '{' && value.data[0] != '['))
        return (struct jview){NULL, NULL};
    return (struct jview){value.data + 1, value.data + value.len - 1};
}

bool jview_member(struct jview *v, struct span *name, struct span *value)
{
    const char *after;

    v->at = skip_blanks(v->at, v->end);
    if (v->at == v->end || *v->at != '"')
        return false;
    after = skip_string(v->at, v->end);
    *name = (struct span){v->at, (size_t)(after - v->at)};
    v->at = skip_blanks(after, v->end);
    if (v->at == v->end || *v->at != ':')
        return false;
    v->at++;
    return take_value(v, value);
}

bool jview_item(struct jview *v, struct span *value)
{
    return take_value(v, value);
}

/* And the comma behind it. */
static bool take_value(struct jview *v, struct span *value)
{
    const char *start = skip_blanks(v->at, v->end);
    const char *after = skip_value(start, v->end);

    if (after == start)
        return false;
    *value = (struct span){start, (size_t)(after - start)};
    v->at = skip_blanks(after, v->end);
    if (v->at < v->end && *v->at == ',')
        v->at++;
    return true;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* From its opening quote to behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        at = json_plain_end(at, end);
        if (at == end)
            break;
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return end;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;

    while (at < end) {
        char c = *at;

        if (c == '"') {
            at = skip_string(at, end);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (depth && (c == '}' || c == ']')) {
            depth--;
            at++;
        } else if (depth) {
            at++;
            continue;
        } else {
            while (at < end && !ends_scalar(*at))
                at++;
            return at;
        }
        if (depth == 0)
            return at;
    }
    return at;
}

/* Asked at every digit. */
static bool ends_scalar(char c)
{
    switch (c) {
    case ',':
    case ':':
    case '{':
    case '}':
    case '[':
    case ']':
    case '"':
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case '\0':
        return true;
    default:
        return false;
    }
}

struct span jview_get(struct span object, const char *name)
{
    struct jview v = jview_of(object);
    struct span found = {NULL, 0}, key, value;

    if (object.len < 2 || object.data[0] != '{')
        return found;
    while (jview_member(&v, &key, &value))
        if (jview_says(key, name))
            found = value;
    return found;
}

struct span jview_given(struct span object, const char *name)
{
    struct span value = jview_get(object, name);

    return span_equal(value, SPAN("null")) ? (struct span){NULL, 0} : value;
}

struct span jview_inside(struct span string)
{
    return jview_is_string(string) ? (struct span){string.data + 1, string.len - 2} : SPAN("");
}

bool jview_says(struct span string, const char *text)
{
    struct span inside = jview_inside(string);
    AUTO_CLEAR(buf) plain = {.max = NAME_MAX_BYTES};

    if (!jview_is_string(string))
        return false;
    if (!memchr(inside.data, '\\', inside.len))
        return span_equal(inside, span_of(text));
    jview_unescape(string, &plain);
    return !plain.failed && span_equal(buf_span(&plain), span_of(text));
}

void jview_unescape(struct span string, struct buf *out)
{
    struct span inside = jview_inside(string);
    const char *at = inside.data, *end = inside.data + inside.len;

    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));

        buf_add(out, at, (size_t)((escape ? escape : end) - at));
        at = escape ? unescape_one(escape, end, out) : end;
    }
}

/* `at` stands on the backslash. */
static const char *unescape_one(const char *at, const char *end, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *which;
    uint32_t code;

    if (end - at < 2)
        return end;
    if (at[1] != 'u') {
        which = at[1] ? strchr(from, at[1]) : NULL;
        buf_add_char(out, which ? to[which - from] : at[1]);
        return at + 2;
    }
    if (end - at < 6)
        return end;
    code = hex4(at + 2);
    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        code = 0x10000 + ((code - 0xd800) << 10) + ((hex4(at + 2) - 0xdc00) & 0x3ff);
        at += 6;
    }
    add_utf8(code, out);
    return at;
}

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i];

        value = value << 4 | (uint32_t)(c >= 'a'   ? c - 'a' + 10
                                        : c >= 'A' ? c - 'A' + 10
                                                   : c - '0');
    }
    return value & 0xffff;
}

static void add_utf8(uint32_t code, struct buf *out)
{
    char bytes[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(n == 1 ? code : first[n] | code);
    buf_add(out, bytes, n);
}
