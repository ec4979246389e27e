/* test_sse.c - event streams: every stream is fed whole, byte by byte and cut at every place; what comes out is written down
 * as text and must be the same each time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/sse.h"
#include "tests/base/run.h"

struct seen {
    struct buf raw;   /* everything handed over */
    struct buf shown; /* "[name|data]", "[-]" without data, "{data}" for one in parts */
    bool in_parts;
    size_t part_max;
};

static void on_event(void *arg, const struct sse_event *event)
{
    struct seen *seen = arg;

    ck_assert(!seen->in_parts);
    ck_assert(event->has_data || event->data.len == 0);
    buf_add_span(&seen->raw, event->raw);
    if (event->has_data)
        buf_printf(&seen->shown, "[%.*s|%.*s]", SPAN_FMT(event->name), SPAN_FMT(event->data));
    else
        buf_printf(&seen->shown, "[%.*s-]", SPAN_FMT(event->name));
}

static void on_part(void *arg, struct span raw, struct span data, bool last)
{
    struct seen *seen = arg;

    if (!seen->in_parts)
        buf_add_char(&seen->shown, '{');
    buf_add_span(&seen->raw, raw);
    buf_add_span(&seen->shown, data);
    if (last)
        buf_add_char(&seen->shown, '}');
    if (raw.len > seen->part_max)
        seen->part_max = raw.len;
    seen->in_parts = !last;
}

static const struct sse_handlers handlers = {.on_event = on_event, .on_part = on_part};

static void seen_clear(struct seen *seen)
{
    buf_clear(&seen->raw);
    buf_clear(&seen->shown);
}

/* Feeds [0, cut), then pieces of `piece` bytes, each in memory of its own size. True if it ended between events. */
static bool run(struct span text, size_t max, size_t cut, size_t piece, struct seen *seen)
{
    AUTO(sse) s = sse_new(max, &handlers, seen);
    size_t at = 0;

    memset(seen, 0, sizeof *seen);
    buf_init(&seen->raw, SIZE_MAX);
    buf_init(&seen->shown, SIZE_MAX);
    while (at < text.len) {
        size_t n = at < cut ? cut - at : piece;
        char *copy;

        n = n < text.len - at ? n : text.len - at;
        copy = malloc(n);
        memcpy(copy, text.data + at, n);
        sse_feed(s, copy, n);
        free(copy);
        at += n;
    }
    return sse_end(s);
}

/* Checks every way of cutting against the stream fed whole. */
static void check_cuts(struct span text, size_t max, const char *shown, bool is_whole)
{
    struct seen seen;

    for (size_t cut = 0; cut <= text.len; cut++) {
        for (size_t piece = 1; piece < 3 * text.len + 2; piece = piece * 2 + 1) {
            ck_assert_int_eq(run(text, max, cut, piece, &seen), is_whole);
            ck_assert_str_eq(seen.shown.data ? seen.shown.data : "", shown);
            if (is_whole)
                ck_assert(span_equal(buf_span(&seen.raw), text));
            else
                ck_assert(span_starts(text, buf_span(&seen.raw)));
            seen_clear(&seen);
        }
    }
}

#define BOM "\xef\xbb\xbf"

static const struct {
    const char *text, *shown;
    bool is_whole;
} streams[] = {
    {"", "", true},
    {"data: a\n\n", "[|a]", true},
    {"data:a\n\ndata: [DONE]\n\n", "[|a][|[DONE]]", true},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[|a][|b]", true},
    {"data: a\r\rdata: b\r\r", "[|a][|b]", true},
    {"data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\r", "[|a][|b][|c][|d]", true},
    {"event: delta\ndata: {\"a\":1}\nid: 7\nretry: 5\n\n", "[delta|{\"a\":1}]", true},
    {"event: a\nevent:b\ndata: x\n\n", "[b|x]", true},
    {"data: a\ndata:  b\ndata:c\n\n", "[|a\n b\nc]", true},
    {"data\n\n", "[|]", true},
    {"data\ndata\n\n", "[|\n]", true},
    {"data:\ndata: \ndata: a\n\n", "[|\n\na]", true},
    {": ping\n\ndata: a\n\n", "[-][|a]", true},
    {": ping\ndata: a\n: pong\n\n", "[|a]", true},
    {"\n\n\r\n\rdata: a\n\n", "[-][-][-][-][|a]", true},
    {"event: x\n\n", "[x-]", true},
    {"datax: a\ndat: b\nDATA: c\n data: d\ndata : e\n:data: f\n\n", "[-]", true},
    {"data: caf\xc3\xa9: x\n\n", "[|caf\xc3\xa9: x]", true},
    {BOM "data: a\n\n" BOM "data: b\n\n", "[|a][-]", true},
    {BOM "\ndata: a\n\n", "[-][|a]", true},
    {BOM BOM "data: a\n\n", "[-]", true},
    {"data: a\n\ndata: b\n", "[|a]", false},
    {"data: a\n\ndata: b", "[|a]", false},
    {"data: a\n\n\xef", "[|a]", false},
    {"d", "", false},
};

START_TEST(events_come_out_the_same_however_they_are_cut)
{
    check_cuts(span_of(streams[_i].text), 1000, streams[_i].shown, streams[_i].is_whole);
}
END_TEST

/* With a maximum of 16 bytes an event of 16 is whole, and one of 17 is in parts. */
static const struct {
    const char *text, *shown;
    bool is_whole;
} long_streams[] = {
    {"data: 12345678\n\n", "[|12345678]", true},
    {"data: 123456789\n\n", "{123456789}", true},
    {"data: 123456\r\n\r\n", "[|123456]", true},
    {"data: 1234567\r\n\r\n", "{1234567}", true},
    {"data: 1234567\r\n\rdata: b\n\n", "[|1234567][|b]", true},
    {"data: 1234567890123456789012345678901234567890\n\ndata: a\n\n",
     "{1234567890123456789012345678901234567890}[|a]", true},
    {"data: 12\ndata: 34\ndata: 56\ndata:\ndata\ndata: 7\n\n", "{12\n34\n56\n\n\n7}", true},
    {"data: 1\r\ndata: 2\r\ndata: 3\r\n\r\ndata: a\r\n\r\n", "{1\n2\n3}[|a]", true},
    {"data: 1\rdata: 2\rdata: 3\r\r", "{1\n2\n3}", true},
    {"event: a very long name\ndata: x\n\n", "{x}", true},
    {"event: a\nid: 1\nda: y\ndata: x\ndatax: z\n\n", "{x}", true},
    {": a long comment, nothing else\n\ndata: a\n\n", "{}[|a]", true},
    {BOM "data: 123456789012\n\n", "{123456789012}", true},
    {BOM "data: 12345\n\n", "[|12345]", true},
    {BOM "data: 123456\n\n", "{123456}", true},
    {"data: 1234567890123456789", "{1234567890123456789", false},
    {"data: 123456789012345\n", "{123456789012345", false},
};

START_TEST(a_long_event_comes_in_parts_that_join_to_the_same)
{
    check_cuts(span_of(long_streams[_i].text), 16, long_streams[_i].shown,
               long_streams[_i].is_whole);
}
END_TEST

/* A stream of random lines: whatever the maximum, the raw bytes join to the stream and the data are the same. */
START_TEST(raw_bytes_always_join_to_the_stream)
{
    static const char *const pieces[] = {"data", "data:", "data: ", "event: ", ":", "x", "yz",
                                         "\n",   "\r",    "\r\n",   "\n\n",    BOM, "",  "id: 1"};
    unsigned seed = 1 + (unsigned)_i;

    for (int round = 0; round < 200; round++) {
        char text[256];
        struct seen whole, cut;
        size_t n = 0;

        while (n < sizeof text - 16) {
            const char *piece = pieces[rand_r(&seed) % ARRAY_LEN(pieces)];

            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        memcpy(text + n, "x\n\n", 3);
        n += 3;
        for (size_t max = 16; max < 200; max += 23) {
            struct span all = {text, n};

            ck_assert(run(all, max, 0, n, &whole));
            ck_assert(span_equal(buf_span(&whole.raw), all));
            ck_assert(run(all, max, rand_r(&seed) % n, 1 + rand_r(&seed) % 9, &cut));
            ck_assert(span_equal(buf_span(&cut.raw), all));
            ck_assert(span_equal(buf_span(&cut.shown), buf_span(&whole.shown)));
            seen_clear(&whole);
            seen_clear(&cut);
        }
    }
}
END_TEST

START_TEST(a_line_of_megabytes_is_passed_on_piece_by_piece)
{
    struct seen seen;
    size_t n = 3 << 20;
    char *text = malloc(n);

    memset(text, 'x', n);
    memcpy(text, "data: ", 6);
    text[n - 1] = text[n - 2] = '\n';
    ck_assert(run((struct span){text, n}, 4096, 0, 1000, &seen));
    ck_assert_uint_eq(seen.raw.len, n);
    ck_assert_uint_eq(seen.shown.len, n - 8 + 2);
    ck_assert_uint_le(seen.part_max, 4096);
    seen_clear(&seen);
    free(text);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("events");

    tcase_add_loop_test(c, events_come_out_the_same_however_they_are_cut, 0, ARRAY_LEN(streams));
    tcase_add_loop_test(c, a_long_event_comes_in_parts_that_join_to_the_same, 0,
                        ARRAY_LEN(long_streams));
    tcase_add_loop_test(c, raw_bytes_always_join_to_the_stream, 0, 4);
    tcase_add_test(c, a_line_of_megabytes_is_passed_on_piece_by_piece);
    return run_tests(c, "sse");
}
