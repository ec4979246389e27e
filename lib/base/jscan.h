/* jscan.h - a validating JSON scanner (RFC 8259) that finds a few fields in one pass, without a tree.
 *
 * It takes the text in pieces cut anywhere, keeps O(1) state however long the text or a string in it is, validates
 * everything (UTF-8, escapes, numbers, nesting up to JSCAN_DEPTH), and remembers for each wanted path where
 * the value stands, so that an edit can be spliced into the original bytes.
 *
 * As jansson does, it refuses \u escapes that are half a surrogate pair; unlike it, it takes \u0000 and numbers of any size.
 *
 * A path is member names joined by '.', "*" standing for every element of an array: "model",
 * "usage.prompt_tokens_details.cached_tokens", "choices.*.delta.content". Names match their unescaped form. */
#ifndef TOLLGATE_BASE_JSCAN_H
#define TOLLGATE_BASE_JSCAN_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define JSCAN_PATHS    64
#define JSCAN_SEGMENTS 8
#define JSCAN_DEPTH    128
#define JSCAN_TEXT     256

enum jscan_type {
    JSCAN_NONE,
    JSCAN_OBJECT,
    JSCAN_ARRAY,
    JSCAN_STRING,
    JSCAN_NUMBER,
    JSCAN_TRUE,
    JSCAN_FALSE,
    JSCAN_NULL
};

/* What is known of one path. Offsets count from the first byte fed. Of a path with '*' the fields describe the
 * last occurrence and `seen` counts all; of another, seen > 1 means that a member name was given twice. */
struct jscan_hit {
    uint32_t seen;
    enum jscan_type type;
    uint64_t
        key_start; /* the opening quote of the member's name; of an element, the value's start */
    uint64_t start, end; /* the value: [start, end) */
    uint32_t count;      /* direct members or elements of an object or array */
    uint32_t nonempty;   /* how many of the seen were strings of at least one character */
    size_t text_len;
    bool text_cut; /* the value was longer than `text` holds */
    char text
        [JSCAN_TEXT]; /* a string's unescaped bytes, or a number's digits as written; NUL-terminated */
};

enum jscan_state { JSCAN_MORE, JSCAN_DONE, JSCAN_BAD };

struct jscan; /* about 2 KB and 400 bytes a path; one can be reset and reused for text after text */
/* Keeps `paths` (they must outlive it). At most JSCAN_PATHS, each of at most JSCAN_SEGMENTS names. */
struct jscan *jscan_new(const char *const *paths, size_t count) MUST_USE;
void jscan_free(struct jscan *s);
DEFINE_AUTO(jscan)
void jscan_reset(struct jscan *s);
/* DONE once one whole value was read (then only blanks may follow). On BAD, ERR_INPUT says what and at which byte. */
enum jscan_state jscan_feed(struct jscan *s, const char *bytes, size_t n, struct err *err) MUST_USE;
/* No more bytes come: true if the text was one whole value (a bare number ends here). */
bool jscan_end(struct jscan *s, struct err *err) MUST_USE;
const struct jscan_hit *jscan_get(const struct jscan *s, size_t path_index);
/* The hit as an integer: a number without fraction or exponent, within int64. */
bool jscan_int(const struct jscan_hit *hit, int64_t *out) MUST_USE;

#endif
