/* The scanner agrees with jansson about random texts and where their values stand. Known differences: numbers may
 * be of any size, \u0000 may stand in names and values, and 128 levels are enough. */
#include "lib/base/json.h"
#include "tests/base/chance.h"
#include "tests/base/scan.h"

enum verdict { TAKEN, REFUSED, NOT_COMPARABLE };

static enum verdict jansson_says(struct span text)
{
    json_error_t why;
    json_t *value = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    enum json_error_code code;

    if (value) {
        json_decref(value);
        return TAKEN;
    }
    code = json_error_code(&why);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key
               ? NOT_COMPARABLE
               : REFUSED;
}

static void agrees(struct span text)
{
    enum verdict verdict = jansson_says(text);

    if (text.len && memchr(text.data, '\0', text.len))
        return; /* jansson reads over NUL bytes between tokens */
    if (verdict != NOT_COMPARABLE && accepts(text) != (verdict == TAKEN))
        ck_abort_msg("jansson %s: %.*s", verdict == TAKEN ? "takes" : "refuses", SPAN_FMT(text));
}

static void add_blank(struct buf *out)
{
    static const char *const blanks[] = {"", "", "", "", " ", "\n", "\t \r"};

    buf_add_string(out, blanks[chance_below(ARRAY_LEN(blanks))]);
}

static void add_string(struct buf *out)
{
    static const char *const pieces[] = {"a",
                                         "xyz",
                                         " ",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u00e9",
                                         "\\u4f60",
                                         "\\ud83d\\ude00",
                                         "\xc3\xa9",
                                         "\xe4\xbd\xa0",
                                         "\xf0\x9f\x98\x80",
                                         "\x7f",
                                         "a somewhat longer run of plain characters, {\x5d:"};

    buf_add_char(out, '"');
    for (size_t n = chance_below(6); n > 0; n--)
        buf_add_string(out, pieces[chance_below(ARRAY_LEN(pieces))]);
    buf_add_char(out, '"');
}

static void add_scalar(struct buf *out)
{
    static const char *const scalars[] = {"true", "false", "null",    "0",      "-0",
                                          "1",    "-12",   "3.25",    "1e5",    "-0.5E-3",
                                          "42",   "1E+2",  "1234567", "0.0625", "\"\""};

    if (chance_below(2))
        add_string(out);
    else
        buf_add_string(out, scalars[chance_below(ARRAY_LEN(scalars))]);
}

/* Names come from the paths, so that hits happen, and are never given twice in one object. */
static void add_value(struct buf *out, unsigned depth)
{
    static const char *const names[] = {"a", "b", "c",     "d",        "e",
                                        "f", "g", "model", "\\u0061b", "x"};
    uint64_t kind = depth < 5 ? chance_below(4) : 3;
    size_t n = chance_below(5), first = chance_below(ARRAY_LEN(names));

    add_blank(out);
    if (depth == 0)
        kind = 0;
    if (kind > 1) {
        add_scalar(out);
    } else {
        n = depth == 0 ? ARRAY_LEN(names) : n;
        buf_add_char(out, kind == 0 ? '{' : '[');
        for (size_t i = 0; i < n; i++) {
            buf_add_string(out, i ? "," : "");
            if (kind == 0) {
                add_blank(out);
                buf_printf(out, "\"%s\"", names[(first + i) % ARRAY_LEN(names)]);
                add_blank(out);
                buf_add_char(out, ':');
            }
            add_value(out, depth + 1);
        }
        add_blank(out);
        buf_add_char(out, kind == 0 ? '}' : ']');
    }
    add_blank(out);
}

START_TEST(random_texts_and_their_mutations_are_judged_as_by_jansson)
{
    static const char favourites[] = "\"\\{}[]:,0123456789.eE+-tfnu \n\x80\xc3\xe4\xed\xf0\x00\x1f";

    chance_begin();
    for (int round = 0; round < 1500; round++) {
        AUTO_CLEAR(buf) text = {.max = 1 << 20};

        add_value(&text, 0);
        ck_assert(accepts(buf_span(&text)));
        agrees(buf_span(&text));
        for (int i = 0; i < 6; i++) {
            size_t at = chance_below(text.len);

            if (chance_below(4) == 0)
                memmove(text.data + at, text.data + at + 1, text.len - at);
            else
                text.data[at] = favourites[chance_below(sizeof favourites - 1)];
            agrees((struct span){text.data, strlen(text.data)});
            agrees((struct span){text.data, chance_below(text.len)});
        }
    }
}
END_TEST

/* Short strings of the bytes at which UTF-8's ranges begin and end. */
START_TEST(utf8_is_judged_as_by_jansson)
{
    static const unsigned char edges[] = {0x22, 0x5c, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                          0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                                          0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    enum { N = sizeof edges };

    for (size_t i = 0; i < (size_t)N * N * N * 3; i++) {
        char text[] = {'"',
                       (char)edges[i % N],
                       (char)edges[i / N % N],
                       (char)edges[i / N / N % N],
                       (char)(i / N / N / N == 0   ? 0x80
                              : i / N / N / N == 1 ? 0xbf
                                                   : 'x'),
                       '"'};

        agrees((struct span){text, sizeof text});
    }
}
END_TEST

/* The value at a path without '*' in a tree. */
static const json_t *at_path(const json_t *tree, const char *path)
{
    char name[16];

    while (tree && *path) {
        size_t n = strcspn(path, ".");

        ck_assert(span_copy((struct span){path, n}, name, sizeof name));
        tree = json_object_get(tree, name);
        path += n + (path[n] == '.');
    }
    return tree;
}

static void hit_shows(const struct jscan_hit *hit, const json_t *value, const char *text)
{
    struct span slice = {text + hit->start, (size_t)(hit->end - hit->start)};
    AUTO_JSON parsed = json_parse(slice, NULL);

    ck_assert_msg(json_equal(parsed, value), "%.*s", SPAN_FMT(slice));
    if (json_is_string(value)) {
        ck_assert_int_eq(hit->text_cut, json_string_length(value) >= JSCAN_TEXT);
        ck_assert(strncmp(hit->text, json_string_value(value), hit->text_len) == 0);
    }
    if (json_is_number(value))
        ck_assert(span_equal((struct span){hit->text, hit->text_len}, slice));
    if (json_is_array(value))
        ck_assert_uint_eq(hit->count, json_array_size(value));
    if (json_is_object(value))
        ck_assert_uint_eq(hit->count, json_object_size(value));
    ck_assert_int_eq(text[hit->key_start], '"');
}

static void elements_show(const struct jscan_hit *hit, const json_t *array, const char *text)
{
    size_t count = json_array_size(array), nonempty = 0;

    for (size_t i = 0; i < count; i++)
        nonempty += json_string_length(json_array_get(array, i)) > 0;
    ck_assert_uint_eq(hit->seen, count);
    ck_assert_uint_eq(hit->nonempty, nonempty);
    if (count > 0) {
        AUTO_JSON last =
            json_parse((struct span){text + hit->start, (size_t)(hit->end - hit->start)}, NULL);

        ck_assert(json_equal(last, json_array_get(array, count - 1)));
    }
}

START_TEST(hits_are_where_jansson_finds_the_values)
{
    unsigned found = 0;

    chance_begin();
    for (int round = 0; round < 3000; round++) {
        AUTO_CLEAR(buf) text = {.max = 1 << 20};
        AUTO_JSON tree = NULL;
        struct outcome r;

        add_value(&text, 0);
        tree = json_parse(buf_span(&text), NULL);
        scan(buf_span(&text), &r);
        ck_assert(r.ok && tree);
        for (size_t i = 0; i < PATHS; i++) {
            const json_t *value = at_path(tree, paths[i]);

            if (strchr(paths[i], '*'))
                continue;
            ck_assert_uint_eq(r.hits[i].seen, value != NULL);
            if (value)
                hit_shows(&r.hits[i], value, text.data);
            found += value != NULL;
        }
        elements_show(&r.hits[2], at_path(tree, "d"), text.data);
    }
    ck_assert_uint_gt(found, 10000);
}
END_TEST

START_TEST(random_texts_are_read_the_same_in_random_pieces)
{
    chance_begin();
    for (int round = 0; round < 300; round++) {
        AUTO_CLEAR(buf) text = {.max = 1 << 20};
        struct outcome whole, cut;

        add_value(&text, 0);
        text.data[chance_below(text.len)] ^=
            (char)(chance_below(3) == 0 ? 1 << chance_below(8) : 0);
        scan(buf_span(&text), &whole);
        for (int i = 0; i < 10; i++) {
            scan_pieces(buf_span(&text), 1 + chance_below(40), 1 + chance_below(40), &cut);
            ck_assert_msg(memcmp(&whole, &cut, sizeof whole) == 0, "%s", text.data);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("jscan_random");

    tcase_add_test(tcase, random_texts_and_their_mutations_are_judged_as_by_jansson);
    tcase_add_test(tcase, utf8_is_judged_as_by_jansson);
    tcase_add_test(tcase, hits_are_where_jansson_finds_the_values);
    tcase_add_test(tcase, random_texts_are_read_the_same_in_random_pieces);
    return run_tests(tcase, "jscan_random");
}
