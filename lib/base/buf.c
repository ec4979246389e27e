/* buf.c - growing bytes. Everything that a peer can make large passes through buf_grow(), so one place enforces
 * maxima and survives refused memory. */
#include "lib/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAP 256

static size_t next_cap(const struct buf *b, size_t need);
static char lower(char c);

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < PTRDIFF_MAX ? max : PTRDIFF_MAX - 1};
}

void buf_clear(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

/* Tries the room that is there first, so that the text is mostly formatted once. */
bool buf_printf(struct buf *b, const char *format, ...)
{
    size_t room = b->cap - b->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? b->data + b->len : NULL, room, format, args);
    va_end(args);
    assert(n >= 0);
    if (b->failed || (size_t)n >= room) {
        if (room)
            b->data[b->len] = '\0';
        if (!buf_grow(b, (size_t)n))
            return false;
        va_start(args, format);
        vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->len += (size_t)n;
    return true;
}

bool buf_grow(struct buf *b, size_t n)
{
    char *data;
    size_t cap;

    if (b->failed)
        return false;
    if (n > b->max - b->len) {
        b->failed = true;
        return false;
    }
    if (n < b->cap - b->len)
        return true;
    cap = next_cap(b, b->len + n + 1);
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = b->out_of_memory = true;
        return false;
    }
    if (!b->data)
        data[0] = '\0';
    b->data = data;
    b->cap = cap;
    return true;
}

/* Doubles, so that n appends copy O(n) bytes in all, but never beyond the maximum and its NUL. */
static size_t next_cap(const struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;

    while (cap < need)
        cap = cap > b->max / 2 ? b->max + 1 : cap * 2;
    return cap > b->max ? b->max + 1 : cap;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len + 1);
}

void buf_truncate(struct buf *b, size_t len)
{
    assert(len <= b->len);
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
    b->failed = b->out_of_memory = false;
}

bool buf_ok(const struct buf *b, const char *what, struct err *err)
{
    if (!b->failed)
        return true;
    if (b->out_of_memory)
        return err_set(err, ERR_MEMORY, "no memory for %s", what);
    return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", what, b->max);
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal((struct span){s.data, prefix.len}, prefix);
}

bool span_copy(struct span s, char *out, size_t out_size)
{
    assert(out_size > 0);
    out[0] = '\0';
    if (s.len >= out_size || (s.len && memchr(s.data, '\0', s.len)))
        return false;
    if (s.len)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}
