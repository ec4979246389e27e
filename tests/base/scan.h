/* scan.h - what the scanner's tests share: a text is scanned whole or in pieces, and all that can be seen of the
 * result is kept to be compared. */
#ifndef TOLLGATE_TESTS_BASE_SCAN_H
#define TOLLGATE_TESTS_BASE_SCAN_H

#include <string.h>

#include "lib/base/jscan.h"
#include "tests/base/run.h"

static const char *const paths[] = {"a", "b.c", "d.*", "e.*.f", "g.*.*", "model", "b", "d"};

enum { PATHS = ARRAY_LEN(paths) };

/* Everything that can be observed after a text. */
struct outcome {
    bool ok;
    char problem[ERR_TEXT_MAX];
    struct jscan_hit hits[PATHS];
};

static inline UNUSED void conclude(struct jscan *s, bool ok, struct err *err, struct outcome *out)
{
    memset(out, 0, sizeof *out);
    out->ok = ok && jscan_end(s, err);
    if (!out->ok) {
        ck_assert_int_eq(err->code, ERR_INPUT);
        snprintf(out->problem, sizeof out->problem, "%s", err->text);
    }
    for (size_t i = 0; i < PATHS; i++) {
        const struct jscan_hit *hit = jscan_get(s, i);

        memcpy(&out->hits[i], hit, offsetof(struct jscan_hit, text));
        memcpy(out->hits[i].text, hit->text, hit->text_len + 1);
    }
}

static inline UNUSED void scan_pieces(struct span text, size_t first, size_t then,
                                      struct outcome *out)
{
    AUTO(jscan) s = jscan_new(paths, PATHS);
    struct err err = {0};
    bool ok = true;

    for (size_t at = 0, n = first; ok && at < text.len; at += n, n = then) {
        char piece[4096]; /* a copy, so that a look beyond the piece is seen by ASan */

        n = n < text.len - at ? n : text.len - at;
        ck_assert_uint_le(n, sizeof piece);
        memcpy(piece + sizeof piece - n, text.data + at, n);
        ok = jscan_feed(s, piece + sizeof piece - n, n, &err) != JSCAN_BAD;
    }
    conclude(s, ok, &err, out);
}

static inline UNUSED void scan(struct span text, struct outcome *out)
{
    AUTO(jscan) s = jscan_new(paths, PATHS);
    struct err err = {0};
    bool ok = jscan_feed(s, text.data, text.len, &err) != JSCAN_BAD;

    conclude(s, ok, &err, out);
}

static inline UNUSED bool accepts(struct span text)
{
    AUTO(jscan) s = jscan_new(paths, PATHS);
    struct err err;

    return jscan_feed(s, text.data, text.len, &err) != JSCAN_BAD && jscan_end(s, &err);
}

#endif
