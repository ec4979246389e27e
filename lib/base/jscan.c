/* jscan.c - the scanner is a table of steps, one a state; each takes bytes from `at` on and says where it stopped.
 * The text may be cut anywhere, so a step keeps in the struct all that it needs to go on. Inside strings, runs of
 * plain characters are skipped 16 bytes at a time: that is where nearly all bytes of a prompt are. */
#include "lib/base/jscan.h"

#include <assert.h>
#include <limits.h>

#include "lib/base/jscan_match.h"
#include "lib/base/json_plain.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum state {
    VALUE,         /* a value must come */
    FIRST_ELEMENT, /* a value, or ']' at once */
    FIRST_NAME,    /* a member's name, or '}' at once */
    NAME,          /* a member's name must come */
    COLON,         /* after a name */
    AFTER_VALUE,   /* ',' or the container's end */
    STRING,        /* a name or a value */
    WIDE,          /* in a UTF-8 sequence that a piece's end has cut */
    ESCAPE,        /* after '\' */
    HEX,           /* in the four digits of \u */
    LOW_HALF,      /* after the first half of a surrogate pair: \u must follow */
    NUMBER,
    LITERAL, /* true, false, null */
    DONE,    /* only blanks may follow */
    BAD,
};

enum number { STOP, MINUS, ZERO, WHOLE, POINT, FRACTION, EXPONENT, SIGN, POWER };

struct jscan {
    enum state state;
    enum number number;
    const char *literal; /* what must still come of it */
    unsigned hex_left;
    uint32_t hex, high_half;
    bool has_backslash;
    unsigned wide_len;
    char wide[4];
    const char *piece; /* what is being fed now, after `before` bytes */
    uint64_t before;
    const char *problem;
    uint64_t problem_at;
    struct match *match;
};

/* Returns where it stopped, having gone on or changed the state; null when the text is bad. */
typedef const char *step(struct jscan *s, const char *at, const char *end);

static step want_value, want_first_element, want_first_name, want_name, want_colon, after_value;
static step in_string, in_wide, in_escape, in_hex, in_low_half, in_number, in_literal, only_blanks;

static uint64_t place(const struct jscan *s, const char *at);
static const char *bad(struct jscan *s, const char *at, const char *problem);
static const char *skip_blanks(const char *at, const char *end);
static const char *begin_value(struct jscan *s, const char *at);
static const char *begin_literal(struct jscan *s, const char *at);
static const char *open_container(struct jscan *s, const char *at, enum jscan_type type);
static const char *close_container(struct jscan *s, const char *at);
static void end_scalar(struct jscan *s, uint64_t at);
static const char *wide_end(const char *at, const char *end);
static const char *three_byte_end(const char *at, const char *end);
static const char *end_string(struct jscan *s, const char *at);
static unsigned wide_length(char lead);
static bool take_code_point(struct jscan *s, uint32_t code);
static size_t utf8_of(uint32_t code, char out[4]);
static enum number number_next(enum number from, char c);
static bool number_may_end(enum number n);
static bool report(const struct jscan *s, struct err *err);

static step *const steps[] = {
    [VALUE] = want_value,           [FIRST_ELEMENT] = want_first_element,
    [FIRST_NAME] = want_first_name, [NAME] = want_name,
    [COLON] = want_colon,           [AFTER_VALUE] = after_value,
    [STRING] = in_string,           [WIDE] = in_wide,
    [ESCAPE] = in_escape,           [HEX] = in_hex,
    [LOW_HALF] = in_low_half,       [NUMBER] = in_number,
    [LITERAL] = in_literal,         [DONE] = only_blanks,
};

struct jscan *jscan_new(const char *const *paths, size_t count)
{
    struct jscan *s = xcalloc(1, sizeof *s);

    s->match = match_new(paths, count);
    return s;
}

void jscan_free(struct jscan *s)
{
    if (!s)
        return;
    match_free(s->match);
    free(s);
}

void jscan_reset(struct jscan *s)
{
    struct match *match = s->match;

    match_reset(match);
    *s = (struct jscan){.match = match};
}

enum jscan_state jscan_feed(struct jscan *s, const char *bytes, size_t n, struct err *err)
{
    const char *at = bytes, *end = bytes + n;

    s->piece = bytes;
    while (at && at < end && s->state != BAD)
        at = steps[s->state](s, at, end);
    s->before += n;
    if (s->state == BAD) {
        report(s, err);
        return JSCAN_BAD;
    }
    return s->state == DONE ? JSCAN_DONE : JSCAN_MORE;
}

bool jscan_end(struct jscan *s, struct err *err)
{
    if (s->state == NUMBER && s->match->depth == 0 && number_may_end(s->number))
        end_scalar(s, s->before);
    if (s->state == BAD)
        return report(s, err);
    if (s->state != DONE)
        return err_set(err, ERR_INPUT, "the JSON text ends too early, after %llu bytes",
                       (unsigned long long)s->before);
    return true;
}

static bool report(const struct jscan *s, struct err *err)
{
    return err_set(err, ERR_INPUT, "not JSON at byte %llu: %s", (unsigned long long)s->problem_at,
                   s->problem);
}

const struct jscan_hit *jscan_get(const struct jscan *s, size_t path_index)
{
    assert(path_index < s->match->path_count);
    return &s->match->paths[path_index].hit;
}

bool jscan_int(const struct jscan_hit *hit, int64_t *out)
{
    struct span text = {hit->text, hit->text_len};

    if (hit->type != JSCAN_NUMBER || hit->text_cut)
        return false;
    return int64_parse(span_equal(text, SPAN("-0")) ? SPAN("0") : text, out);
}

static uint64_t place(const struct jscan *s, const char *at)
{
    return s->before + (uint64_t)(at - s->piece);
}

static const char *bad(struct jscan *s, const char *at, const char *problem)
{
    s->state = BAD;
    s->problem = problem;
    s->problem_at = place(s, at);
    return NULL;
}

/* --- between values --- */

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

static const char *want_value(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    return at == end ? at : begin_value(s, at);
}

static const char *want_first_element(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at == end)
        return at;
    return *at == ']' ? close_container(s, at) : begin_value(s, at);
}

static const char *begin_value(struct jscan *s, const char *at)
{
    switch (*at) {
    case '"':
        match_scalar_begin(s->match, JSCAN_STRING, place(s, at));
        s->state = STRING;
        return at + 1;
    case '{':
        return open_container(s, at, JSCAN_OBJECT);
    case '[':
        return open_container(s, at, JSCAN_ARRAY);
    case 't':
    case 'f':
    case 'n':
        return begin_literal(s, at);
    default:
        if (*at != '-' && (*at < '0' || *at > '9'))
            return bad(s, at, "a value was expected");
        match_scalar_begin(s->match, JSCAN_NUMBER, place(s, at));
        s->state = NUMBER;
        s->number = STOP;
        return at;
    }
}

static const char *begin_literal(struct jscan *s, const char *at)
{
    enum jscan_type type = *at == 't' ? JSCAN_TRUE : *at == 'f' ? JSCAN_FALSE : JSCAN_NULL;

    match_scalar_begin(s->match, type, place(s, at));
    s->literal = type == JSCAN_TRUE ? "rue" : type == JSCAN_FALSE ? "alse" : "ull";
    s->state = LITERAL;
    return at + 1;
}

static const char *open_container(struct jscan *s, const char *at, enum jscan_type type)
{
    if (s->match->depth == JSCAN_DEPTH)
        return bad(s, at, "arrays and objects are nested too deep");
    match_open(s->match, type, place(s, at));
    s->state = type == JSCAN_OBJECT ? FIRST_NAME : FIRST_ELEMENT;
    return at + 1;
}

static const char *close_container(struct jscan *s, const char *at)
{
    match_close(s->match, place(s, at) + 1);
    s->state = s->match->depth > 0 ? AFTER_VALUE : DONE;
    return at + 1;
}

static const char *want_first_name(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at < end && *at == '}')
        return close_container(s, at);
    return want_name(s, at, end);
}

static const char *want_name(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at == end)
        return at;
    if (*at != '"')
        return bad(s, at, "a member's name in quotes was expected");
    match_name_begin(s->match, place(s, at));
    s->state = STRING;
    return at + 1;
}

static const char *want_colon(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at == end)
        return at;
    if (*at != ':')
        return bad(s, at, "a colon was expected");
    s->state = VALUE;
    return at + 1;
}

static const char *after_value(struct jscan *s, const char *at, const char *end)
{
    bool in_object = match_in_object(s->match);

    at = skip_blanks(at, end);
    if (at == end)
        return at;
    if (*at == (in_object ? '}' : ']'))
        return close_container(s, at);
    if (*at != ',')
        return bad(s, at, in_object ? "a comma or } was expected" : "a comma or ] was expected");
    s->state = in_object ? NAME : VALUE;
    return at + 1;
}

static const char *only_blanks(struct jscan *s, const char *at, const char *end)
{
    at = skip_blanks(at, end);
    return at == end ? at : bad(s, at, "something follows the value");
}

/* --- strings --- */

static const char *in_string(struct jscan *s, const char *at, const char *end)
{
    const char *stop = wide_end(at, end);

    if (stop > at)
        match_text(s->match, at, (size_t)(stop - at));
    if (stop == end)
        return stop;
    if (*stop == '"')
        return end_string(s, stop);
    if (*stop == '\\') {
        s->state = ESCAPE;
        return stop + 1;
    }
    if ((unsigned char)*stop < 0x20)
        return bad(s, stop, "a control character in a string must be escaped");
    if (wide_length(*stop) <= (size_t)(end - stop))
        return bad(s, stop, "not UTF-8");
    s->wide_len = 0;
    s->state = WIDE;
    return stop;
}

/* The end of the run of plain characters and whole UTF-8 sequences. */
static const char *wide_end(const char *at, const char *end)
{
    for (;;) {
        size_t n;

        at = json_plain_end(at, end);
        if (at == end || (unsigned char)*at < 0x80)
            return at;
        at = three_byte_end(at, end);
        if (at == end || (unsigned char)*at < 0x80)
            continue;
        n = utf8_length((struct span){at, (size_t)(end - at)});
        if (n == 0)
            return at;
        at += n;
    }
}

/* Skips the common sequences of three bytes, such as nearly every Chinese character, whose first byte alone says
 * that any two continuation bytes may follow. */
static const char *three_byte_end(const char *at, const char *end)
{
    for (; end - at >= 3; at += 3) {
        unsigned lead = (unsigned char)at[0];

        if (lead < 0xe1 || lead > 0xef || lead == 0xed)
            break;
        if ((at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80)
            break;
    }
    return at;
}

/* How long a sequence with this first byte must be; 1 for a byte that cannot be first. */
static unsigned wide_length(char lead)
{
    unsigned char c = (unsigned char)lead;

    if (c < 0xc2 || c > 0xf4)
        return 1;
    return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static const char *in_wide(struct jscan *s, const char *at, const char *end)
{
    unsigned need;

    (void)end;
    s->wide[s->wide_len++] = *at;
    need = wide_length(s->wide[0]);
    if (s->wide_len < need)
        return at + 1;
    if (utf8_length((struct span){s->wide, need}) != need) {
        bad(s, at, "not UTF-8");
        s->problem_at -= need - 1; /* where the sequence began, in whichever piece that was */
        return NULL;
    }
    match_text(s->match, s->wide, need);
    s->state = STRING;
    return at + 1;
}

static const char *end_string(struct jscan *s, const char *at)
{
    if (s->match->in_name) {
        match_name_end(s->match);
        s->state = COLON;
    } else {
        end_scalar(s, place(s, at) + 1);
    }
    return at + 1;
}

static void end_scalar(struct jscan *s, uint64_t at)
{
    match_scalar_end(s->match, at);
    s->state = s->match->depth > 0 ? AFTER_VALUE : DONE;
}

static const char *in_escape(struct jscan *s, const char *at, const char *end)
{
    static const char meanings[UCHAR_MAX + 1] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    const char *meaning = &meanings[(unsigned char)*at];

    (void)end;
    if (*meaning) {
        match_text(s->match, meaning, 1);
        s->state = STRING;
        return at + 1;
    }
    if (*at != 'u')
        return bad(s, at, "no such escape");
    s->hex = 0;
    s->hex_left = 4;
    s->state = HEX;
    return at + 1;
}

static const char *in_hex(struct jscan *s, const char *at, const char *end)
{
    unsigned char c = (unsigned char)*at;
    unsigned digit = c - '0';

    (void)end;
    if (digit > 9) {
        digit = (c | 0x20u) - 'a' + 10;
        if (digit < 10 || digit > 15)
            return bad(s, at, "a hexadecimal digit was expected");
    }
    s->hex = s->hex << 4 | digit;
    if (--s->hex_left == 0 && !take_code_point(s, s->hex))
        return bad(s, at, "half of a surrogate pair stands alone");
    return at + 1;
}

/* The four digits are either a character, or the first or second half of one. */
static bool take_code_point(struct jscan *s, uint32_t code)
{
    bool is_high = code >= 0xd800 && code < 0xdc00;
    bool is_low = code >= 0xdc00 && code < 0xe000;
    char utf8[4];

    if (is_low != (s->high_half != 0))
        return false;
    if (is_high) {
        s->high_half = code;
        s->has_backslash = false;
        s->state = LOW_HALF;
        return true;
    }
    if (is_low)
        code = 0x10000 + ((s->high_half - 0xd800) << 10) + (code - 0xdc00);
    s->high_half = 0;
    match_text(s->match, utf8, utf8_of(code, utf8));
    s->state = STRING;
    return true;
}

static size_t utf8_of(uint32_t code, char out[4])
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}

static const char *in_low_half(struct jscan *s, const char *at, const char *end)
{
    (void)end;
    if (*at != (s->has_backslash ? 'u' : '\\'))
        return bad(s, at, "half of a surrogate pair stands alone");
    if (s->has_backslash) {
        s->hex = 0;
        s->hex_left = 4;
        s->state = HEX;
    }
    s->has_backslash = true;
    return at + 1;
}

/* --- numbers and literals --- */

static const char *in_number(struct jscan *s, const char *at, const char *end)
{
    const char *start = at;
    enum number next = s->number;

    while (at < end && (next = number_next(s->number, *at)) != STOP) {
        s->number = next;
        at++;
    }
    match_text(s->match, start, (size_t)(at - start));
    if (at == end)
        return at;
    if (!number_may_end(s->number))
        return bad(s, at, "a digit was expected");
    end_scalar(s, place(s, at));
    return at;
}

/* RFC 8259 section 6, by row: STOP is the start, and as a result means that `c` does not belong to the number. */
static enum number number_next(enum number from, char c)
{
    static const unsigned char next[][6] = {
        /*             0         1-9       -      +     .      e, E */
        [STOP] = {ZERO, WHOLE, MINUS, STOP, STOP, STOP},
        [MINUS] = {ZERO, WHOLE, STOP, STOP, STOP, STOP},
        [ZERO] = {STOP, STOP, STOP, STOP, POINT, EXPONENT},
        [WHOLE] = {WHOLE, WHOLE, STOP, STOP, POINT, EXPONENT},
        [POINT] = {FRACTION, FRACTION, STOP, STOP, STOP, STOP},
        [FRACTION] = {FRACTION, FRACTION, STOP, STOP, STOP, EXPONENT},
        [EXPONENT] = {POWER, POWER, SIGN, SIGN, STOP, STOP},
        [SIGN] = {POWER, POWER, STOP, STOP, STOP, STOP},
        [POWER] = {POWER, POWER, STOP, STOP, STOP, STOP},
    };

    if (c >= '0' && c <= '9')
        return next[from][c != '0'];
    switch (c) {
    case '-':
        return next[from][2];
    case '+':
        return next[from][3];
    case '.':
        return next[from][4];
    case 'e':
    case 'E':
        return next[from][5];
    default:
        return STOP;
    }
}

static bool number_may_end(enum number n)
{
    return n == ZERO || n == WHOLE || n == FRACTION || n == POWER;
}

static const char *in_literal(struct jscan *s, const char *at, const char *end)
{
    (void)end;
    if (*at != *s->literal)
        return bad(s, at, "only true, false and null may stand without quotes");
    if (*++s->literal == '\0')
        end_scalar(s, place(s, at) + 1);
    return at + 1;
}
