/* fuzz_jscan.c - any bytes: scanned whole and in pieces they give the same, hits lie within the text, and jansson
 * judges them alike but for the differences that jscan.h names. */
#include <assert.h>
#include <stdlib.h>

#include "lib/base/crc32c.h"
#include "lib/base/jscan.h"
#include "lib/base/json.h"

static const char *const paths[] = {"model",      "stream",
                                    "a",          "stream_options.include_usage",
                                    "messages.*", "choices.*.delta.content",
                                    "a.*.*",      "usage.prompt_tokens_details.cached_tokens"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static bool scan(struct jscan *s, struct span text, uint32_t cuts, struct err *err);
static void are_equal(const struct jscan *a, const struct jscan *b);
static void lies_within(const struct jscan_hit *hit, size_t size);
static void agrees_with_jansson(struct span text, bool ok, const struct err *err);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    AUTO(jscan) whole = jscan_new(paths, ARRAY_LEN(paths));
    struct err err = {0};
    bool ok = scan(whole, text, 0, &err);

    for (uint32_t round = 0; round < 3; round++) {
        AUTO(jscan) cut = jscan_new(paths, ARRAY_LEN(paths));
        struct err cut_err = {0};

        assert(scan(cut, text, crc32c(round, data, size) | 1, &cut_err) == ok);
        assert(strcmp(err.text, cut_err.text) == 0);
        are_equal(whole, cut);
    }
    for (size_t i = 0; ok && i < ARRAY_LEN(paths); i++)
        lies_within(jscan_get(whole, i), size);
    agrees_with_jansson(text, ok, &err);
    return 0;
}

/* `cuts` 0: at once. Else it chooses lengths, mostly short, the same ones for the same input. Each piece is a copy
 * of its own, so that a look beyond it is found. */
static bool scan(struct jscan *s, struct span text, uint32_t cuts, struct err *err)
{
    for (size_t at = 0; at < text.len;) {
        size_t left = text.len - at;
        size_t n = cuts == 0 ? left : 1 + (cuts >> 16) % (cuts & 0x8000 ? 3 : 60);
        enum jscan_state state;
        char *piece;

        cuts *= 1664525;
        n = n < left ? n : left;
        piece = malloc(n);
        assert(piece);
        memcpy(piece, text.data + at, n);
        state = jscan_feed(s, piece, n, err);
        free(piece);
        if (state == JSCAN_BAD)
            return false;
        at += n;
    }
    return jscan_end(s, err);
}

static void are_equal(const struct jscan *a, const struct jscan *b)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const struct jscan_hit *x = jscan_get(a, i), *y = jscan_get(b, i);

        assert(x->seen == y->seen && x->type == y->type && x->key_start == y->key_start);
        assert(x->start == y->start && x->end == y->end && x->count == y->count);
        assert(x->nonempty == y->nonempty && x->text_cut == y->text_cut);
        assert(x->text_len == y->text_len && memcmp(x->text, y->text, x->text_len) == 0);
    }
}

static void lies_within(const struct jscan_hit *hit, size_t size)
{
    int64_t number;

    assert((hit->seen == 0) == (hit->type == JSCAN_NONE));
    assert(hit->seen == 0 ||
           (hit->key_start <= hit->start && hit->start < hit->end && hit->end <= size));
    assert(hit->text_len < JSCAN_TEXT && hit->text[hit->text_len] == '\0');
    assert(!jscan_int(hit, &number) || hit->type == JSCAN_NUMBER);
}

static void agrees_with_jansson(struct span text, bool ok, const struct err *err)
{
    json_error_t why;
    AUTO_JSON tree =
        json_loadb(text.data ? text.data : "", text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    enum json_error_code code = tree ? json_error_unknown : json_error_code(&why);

    if (text.len && memchr(text.data, '\0', text.len))
        return; /* jansson reads over NUL bytes between tokens */
    if (ok)
        assert(tree || code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
    else
        assert(!tree || strstr(err->text, "too deep"));
}
