/* fuzz_chunks.c - chunked bodies: the first byte says how the rest is cut. Payload, verdict and what follows must not depend on
 * it, payload is a part of the input, and what was encoded here decodes to itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/http1_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

struct result {
    enum http1_chunk end;
    struct buf payload;
    size_t rest;
    char sentence[ERR_TEXT_MAX];
};

static void decode(struct span text, size_t piece, struct result *r)
{
    struct http1_chunks c;
    struct err err = {.code = ERR_NONE};

    http1_chunks_init(&c);
    buf_init(&r->payload, SIZE_MAX);
    r->end = HTTP1_CHUNK_MORE;
    r->rest = text.len;
    while (r->rest && r->end == HTTP1_CHUNK_MORE) {
        struct span in = {text.data + text.len - r->rest, r->rest < piece ? r->rest : piece};
        struct span whole = in, payload;

        while ((r->end = http1_chunks_next(&c, &in, &payload, &err)) == HTTP1_CHUNK_PAYLOAD) {
            MUST(payload.len > 0 && payload.data >= whole.data &&
                 payload.data + payload.len == in.data);
            buf_add_span(&r->payload, payload);
        }
        MUST(r->end != HTTP1_CHUNK_MORE || in.len == 0);
        MUST(in.data + in.len == whole.data + whole.len);
        r->rest -= whole.len - in.len;
    }
    memcpy(r->sentence, err.text, sizeof err.text);
    if (r->end != HTTP1_CHUNK_BAD)
        r->sentence[0] = '\0';
}

static void check_cuts(struct span text, size_t piece)
{
    struct result whole, cut;

    decode(text, SIZE_MAX, &whole);
    decode(text, piece, &cut);
    MUST(whole.end == cut.end && whole.rest == cut.rest);
    MUST(span_equal(buf_span(&whole.payload), buf_span(&cut.payload)));
    MUST(strcmp(whole.sentence, cut.sentence) == 0);
    buf_clear(&whole.payload);
    buf_clear(&cut.payload);
}

static void check_round_trip(struct span payload, size_t piece)
{
    struct buf coded;
    struct result r;

    buf_init(&coded, SIZE_MAX);
    for (size_t at = 0; at < payload.len; at += piece) {
        size_t n = payload.len - at < piece ? payload.len - at : piece;

        buf_printf(&coded, "%zx\r\n", n);
        buf_add(&coded, payload.data + at, n);
        buf_add_span(&coded, SPAN("\r\n"));
    }
    buf_add_span(&coded, SPAN("0\r\n\r\nrest"));
    decode(buf_span(&coded), piece + 3, &r);
    MUST(r.end == HTTP1_CHUNK_DONE && r.rest == 4);
    MUST(span_equal(buf_span(&r.payload), payload));
    buf_clear(&coded);
    buf_clear(&r.payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text;

    if (size < 2)
        return 0;
    text = (struct span){(const char *)data + 1, size - 1};
    check_cuts(text, 1u + data[0] % 32);
    check_cuts(text, 1);
    check_round_trip(text, 1u + data[0]);
    return 0;
}
