/* buf.h - bytes that grow up to a stated maximum, and spans that borrow bytes.
 *
 * A buf fails softly and once: an append that would pass `max`, or for which memory is refused, changes nothing
 * but sets `failed`, and so does every later one. Builders therefore append without looking and ask buf_ok()
 * at the end. `data` is always followed by a NUL that is not counted in `len` (once anything was added). */
#ifndef TOLLGATE_BASE_BUF_H
#define TOLLGATE_BASE_BUF_H

#include <assert.h>
#include <string.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct span {
    const char *data;
    size_t len;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
#define SPAN_FMT(s) (int)(s).len, (s).data /* for "%.*s"; only for spans under 2 GB */

static inline struct span span_of(const char *s)
{
    return (struct span){s, strlen(s)};
}
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII only */
bool span_starts(struct span s, struct span prefix);
/* Copies into a NUL-terminated array; false (and an empty string) when it does not fit or has a NUL inside. */
bool span_copy(struct span s, char *out, size_t out_size) MUST_USE;

struct buf {
    char *data; /* null until something was added */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
    bool out_of_memory; /* why it failed: memory was refused, rather than `max` reached */
};

void buf_init(struct buf *b, size_t max);
void buf_clear(struct buf *b); /* frees; `max` stays, so it can be used again */
DEFINE_AUTO_CLEAR(buf)

static inline bool buf_add(struct buf *b, const void *bytes, size_t n);
static inline bool buf_add_string(struct buf *b, const char *s);
static inline bool buf_add_span(struct buf *b, struct span s);
static inline bool buf_add_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes, to be written at data+len by the caller, who then adds what was written by buf_added().
 * Null when refused. */
static inline char *buf_room(struct buf *b, size_t n) MUST_USE;
static inline void buf_added(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* forgets the first n bytes */
void buf_truncate(struct buf *b, size_t len); /* keeps memory; clears `failed` */

/* True when every append succeeded; else ERR_LIMIT or ERR_MEMORY, naming `what`. */
bool buf_ok(const struct buf *b, const char *what, struct err *err) MUST_USE;

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data ? b->data : "", b->len};
}

/* Appending is inline, since nearly every append is short and finds its room; making room is not. Afterwards n bytes and
 * the NUL fit, or `failed` says why not. */
bool buf_grow(struct buf *b, size_t n) MUST_USE;

static inline char *buf_room(struct buf *b, size_t n)
{
    bool fits = n < b->cap - b->len && n <= b->max - b->len && !b->failed;

    return fits || buf_grow(b, n) ? b->data + b->len : NULL;
}

static inline void buf_added(struct buf *b, size_t n)
{
    assert(b->data && n < b->cap - b->len);
    b->len += n;
    b->data[b->len] = '\0';
}

static inline bool buf_add(struct buf *b, const void *bytes, size_t n)
{
    char *room = buf_room(b, n);

    if (!room)
        return false;
    if (n)
        memcpy(room, bytes, n);
    buf_added(b, n);
    return true;
}

static inline bool buf_add_string(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

static inline bool buf_add_span(struct buf *b, struct span s)
{
    return buf_add(b, s.data, s.len);
}

static inline bool buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

#endif
