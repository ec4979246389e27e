/* json_write.c - the writer of json.h. It writes what leaves a call and what enters the journal, so it copies plain
 * runs whole and formats numbers itself. */
#include "lib/base/json.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/json_plain.h"
#include "lib/base/text.h"

#define DEPTH_MAX 32

static void begin_value(struct jw *w);
static void comma(struct jw *w);
static void open_level(struct jw *w, char bracket);
static void close_level(struct jw *w, char bracket);
static void add_quoted(struct buf *out, struct span s);
static void add_in_pieces(struct buf *out, struct span s, const char *plain);
static size_t add_special(struct buf *out, struct span s);

void jw_init(struct jw *w, struct buf *out)
{
    *w = (struct jw){.out = out};
}

void jw_object(struct jw *w)
{
    open_level(w, '{');
}

void jw_object_end(struct jw *w)
{
    close_level(w, '}');
}

void jw_array(struct jw *w)
{
    open_level(w, '[');
}

void jw_array_end(struct jw *w)
{
    close_level(w, ']');
}

static void open_level(struct jw *w, char bracket)
{
    begin_value(w);
    buf_add_char(w->out, bracket);
    assert(w->depth < DEPTH_MAX);
    w->has_members &= ~(UINT32_C(1) << w->depth);
    w->depth++;
}

static void close_level(struct jw *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    buf_add_char(w->out, bracket);
}

static void begin_value(struct jw *w)
{
    if (w->after_key)
        w->after_key = false;
    else
        comma(w);
}

static void comma(struct jw *w)
{
    uint32_t bit;

    if (w->depth == 0)
        return;
    bit = UINT32_C(1) << (w->depth - 1);
    if (w->has_members & bit)
        buf_add_char(w->out, ',');
    w->has_members |= bit;
}

void jw_key(struct jw *w, const char *name)
{
    assert(w->depth > 0 && !w->after_key);
    comma(w);
    add_quoted(w->out, span_of(name));
    buf_add_char(w->out, ':');
    w->after_key = true;
}

void jw_string(struct jw *w, const char *s)
{
    jw_span(w, span_of(s));
}

void jw_span(struct jw *w, struct span s)
{
    begin_value(w);
    add_quoted(w->out, s);
}

/* Nearly every text is one plain run, and is copied with one look at the room. */
static void add_quoted(struct buf *out, struct span s)
{
    const char *plain = json_plain_end(s.data, s.data + s.len);
    char *room = NULL;

    if (plain == s.data + s.len)
        room = buf_room(out, s.len + 2);
    if (!room) {
        add_in_pieces(out, s, plain);
        return;
    }
    room[0] = '"';
    if (s.len)
        memcpy(room + 1, s.data, s.len);
    room[1 + s.len] = '"';
    buf_added(out, s.len + 2);
}

static void add_in_pieces(struct buf *out, struct span s, const char *plain)
{
    const char *at = s.data, *end = s.data + s.len;

    buf_add_char(out, '"');
    buf_add(out, at, (size_t)(plain - at));
    while (plain < end) {
        at = plain + add_special(out, (struct span){plain, (size_t)(end - plain)});
        plain = json_plain_end(at, end);
        buf_add(out, at, (size_t)(plain - at));
    }
    buf_add_char(out, '"');
}

/* One character that needs an escape, more than one byte, or replacing; returns how many bytes it took of `s`. */
static size_t add_special(struct buf *out, struct span s)
{
    static const char controls[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    const char *known = s.data[0] ? strchr(controls, s.data[0]) : NULL;
    size_t n = utf8_length(s);

    if (known) {
        char escape[2] = {'\\', letters[known - controls]};

        buf_add(out, escape, 2);
    } else if (n == 1) {
        buf_printf(out, "\\u%04x", (unsigned)(unsigned char)s.data[0]);
    } else if (n > 1) {
        buf_add(out, s.data, n);
    } else {
        buf_add(out, "\xef\xbf\xbd", 3);
    }
    return n ? n : 1;
}

void jw_int(struct jw *w, int64_t n)
{
    char text[INT64_TEXT];

    jw_raw(w, int64_text(n, text));
}

void jw_bool(struct jw *w, bool b)
{
    jw_raw(w, b ? SPAN("true") : SPAN("false"));
}

void jw_null(struct jw *w)
{
    jw_raw(w, SPAN("null"));
}

void jw_raw(struct jw *w, struct span json)
{
    begin_value(w);
    buf_add_span(w->out, json);
}

void jw_string_member(struct jw *w, const char *name, const char *s)
{
    jw_key(w, name);
    jw_string(w, s);
}

void jw_span_member(struct jw *w, const char *name, struct span s)
{
    jw_key(w, name);
    jw_span(w, s);
}

void jw_int_member(struct jw *w, const char *name, int64_t n)
{
    jw_key(w, name);
    jw_int(w, n);
}

void jw_bool_member(struct jw *w, const char *name, bool b)
{
    jw_key(w, name);
    jw_bool(w, b);
}

void jw_time_member(struct jw *w, const char *name, int64_t nanos)
{
    char text[CLOCK_TEXT];

    jw_string_member(w, name, clock_format(nanos, text));
}
