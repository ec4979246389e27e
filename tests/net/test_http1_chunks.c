/* test_http1_chunks.c - chunked bodies: decoded the same however they are cut, and refused when they are doubtful. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/http1_chunks.h"
#include "tests/base/run.h"

struct result {
    enum http1_chunk end;
    struct err err;
    struct buf payload;
    size_t rest; /* bytes that follow the body */
};

static enum http1_chunk feed(struct http1_chunks *c, struct span in, struct result *r)
{
    struct span payload;
    enum http1_chunk got;

    while ((got = http1_chunks_next(c, &in, &payload, &r->err)) == HTTP1_CHUNK_PAYLOAD) {
        ck_assert_uint_gt(payload.len, 0);
        ck_assert(buf_add_span(&r->payload, payload));
    }
    r->rest = in.len;
    return got;
}

/* Decodes what is cut into pieces of at most `piece` bytes, each in memory of its own size. */
static void decode(struct span text, size_t piece, struct result *r)
{
    struct http1_chunks c;

    memset(r, 0, sizeof *r);
    buf_init(&r->payload, SIZE_MAX);
    http1_chunks_init(&c);
    r->end = HTTP1_CHUNK_MORE;
    while (text.len && r->end == HTTP1_CHUNK_MORE) {
        size_t n = piece < text.len ? piece : text.len;
        char *copy = malloc(n);

        memcpy(copy, text.data, n);
        r->end = feed(&c, (struct span){copy, n}, r);
        text.data += n;
        text.len -= n;
        free(copy);
    }
    r->rest += text.len;
}

static const struct {
    const char *text, *payload;
    size_t rest;
} bodies[] = {
    {"0\r\n\r\n", "", 0},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", 5},
    {"00a\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0},
    {"A;x=\"y\";z\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", 0},
    {"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", 0},
    {"1\r\na\r\n0\r\nA: b\r\nContent-Length: 5\r\nC:\r\n\r\n\r\n", "a", 2},
};

START_TEST(a_body_is_decoded_the_same_however_it_is_cut)
{
    struct span text = span_of(bodies[_i].text);

    for (size_t piece = 1; piece <= text.len; piece++) {
        struct result r;

        decode(text, piece, &r);
        ck_assert_msg(r.end == HTTP1_CHUNK_DONE, "row %d, %zu: %s", _i, piece, r.err.text);
        ck_assert(span_equal(buf_span(&r.payload), span_of(bodies[_i].payload)));
        ck_assert_uint_eq(r.rest, bodies[_i].rest);
        buf_clear(&r.payload);
    }
}
END_TEST

static const struct {
    const char *text, *sentence;
} refusals[] = {
    {"\r\n", "not a hexadecimal"},
    {"g\r\n", "not a hexadecimal"},
    {"+3\r\nabc", "not a hexadecimal"},
    {"-1\r\n", "not a hexadecimal"},
    {" 3\r\nabc", "not a hexadecimal"},
    {";x\r\n", "not a hexadecimal"},
    {"0x3\r\nabc", "not followed by CRLF"},
    {"3 \r\nabc", "not followed by CRLF"},
    {"3\nabc", "not followed by CRLF"},
    {"3\rabc", "not followed by LF"},
    {"3;x\nabc", "control byte"},
    {"3;\x01\r\nabc", "control byte"},
    {"3;\r\r\nabc", "not followed by LF"},
    {"8000000000000000\r\n", "larger than any body"},
    {"10000000000000003\r\nabc", "larger than any body"},
    {"3\r\nabcd\r\n", "longer than its size"},
    {"3\r\nabc\n0\r\n\r\n", "longer than its size"},
    {"3\r\nabc\rX", "not followed by LF"},
    {"3\r\nabc\r\n\r\n", "not a hexadecimal"},
    {"0\r\n\n", "no name"},
    {"0\r\n: b\r\n\r\n", "no name"},
    {"0\r\n b\r\n\r\n", "no name"},
    {"0\r\na : b\r\n\r\n", "name of a trailer"},
    {"0\r\na\r\n\r\n", "name of a trailer"},
    {"0\r\na: b\n\r\n", "control byte"},
    {"0\r\na: \x7f\r\n\r\n", "control byte"},
    {"0\r\na: b\rX", "CR of a trailer"},
    {"0\r\n\rX", "CR that ends"},
};

START_TEST(a_doubtful_chunk_is_refused_at_the_same_byte_however_it_is_cut)
{
    struct span text = span_of(refusals[_i].text);
    size_t rest = 0;

    for (size_t piece = text.len; piece > 0; piece--) {
        struct result r;

        decode(text, piece, &r);
        ck_assert_msg(r.end == HTTP1_CHUNK_BAD, "row %d was taken", _i);
        ck_assert_msg(strstr(r.err.text, refusals[_i].sentence), "row %d: %s", _i, r.err.text);
        if (piece == text.len)
            rest = r.rest;
        ck_assert_uint_eq(r.rest, rest);
        buf_clear(&r.payload);
    }
}
END_TEST

START_TEST(a_nul_in_the_framing_is_refused)
{
    static const char text[] = "1;x\r\na\r\n0\r\nb: c\r\n\r\n";

    for (size_t i = 0; i < sizeof text - 1; i++) {
        char copy[sizeof text];
        struct result r;

        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        decode((struct span){copy, sizeof text - 1}, sizeof text, &r);
        ck_assert_int_eq(r.end, text[i] == 'a' ? HTTP1_CHUNK_DONE : HTTP1_CHUNK_BAD);
        buf_clear(&r.payload);
    }
}
END_TEST

/* Repeats a piece until a limit ends it; true if it ended with ERR_LIMIT before `max` bytes. */
static bool is_bounded(const char *begin, const char *piece, size_t max)
{
    struct http1_chunks c;
    struct result r = {.err = {.code = ERR_NONE}};
    enum http1_chunk got;
    size_t n = 0;

    http1_chunks_init(&c);
    got = feed(&c, span_of(begin), &r);
    while (got == HTTP1_CHUNK_MORE && (n += strlen(piece)) < max)
        got = feed(&c, span_of(piece), &r);
    return got == HTTP1_CHUNK_BAD && r.err.code == ERR_LIMIT;
}

START_TEST(what_is_dropped_is_bounded)
{
    ck_assert(is_bounded("3;", "x", 1000));
    ck_assert(is_bounded("", "0", 1000));
    ck_assert(is_bounded("0\r\n", "x", 10000));
    ck_assert(is_bounded("0\r\nx:", "x", 10000));
    ck_assert(is_bounded("0\r\n", "a:b\r\n", 10000));
}
END_TEST

START_TEST(a_refused_body_stays_refused)
{
    struct http1_chunks c;
    struct result r = {.end = HTTP1_CHUNK_MORE};

    http1_chunks_init(&c);
    ck_assert_int_eq(feed(&c, SPAN("x"), &r), HTTP1_CHUNK_BAD);
    ck_assert_int_eq(feed(&c, SPAN("0\r\n\r\n"), &r), HTTP1_CHUNK_BAD);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("chunks");

    tcase_add_loop_test(c, a_body_is_decoded_the_same_however_it_is_cut, 0, ARRAY_LEN(bodies));
    tcase_add_loop_test(c, a_doubtful_chunk_is_refused_at_the_same_byte_however_it_is_cut, 0,
                        ARRAY_LEN(refusals));
    tcase_add_test(c, a_nul_in_the_framing_is_refused);
    tcase_add_test(c, what_is_dropped_is_bounded);
    tcase_add_test(c, a_refused_body_stays_refused);
    return run_tests(c, "http1_chunks");
}
