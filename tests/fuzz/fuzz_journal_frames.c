/* fuzz_journal_frames.c - what a disk may hand back: an 'L' and a line, framed here so that its checksum is right; or else
 * the bytes of a segment. A frame is never larger than what it was read from, a head that is accepted composes to the same
 * bytes again, and what is parsed as heads, totals or a header is written the same again. */
#include <stdlib.h>
#include <string.h>

#include "billing/journal_state.h"
#include "billing/seal.h"
#include "billing/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

/* The head ends where its last member does: what follows is the body. */
static void compose_again(struct span line, const struct record_head *head)
{
    for (size_t at = 1; at + 1 < line.len; at++) {
        AUTO_CLEAR(buf) body;
        AUTO_CLEAR(buf) again;

        if (line.data[at] != ',')
            continue;
        buf_init(&body, line.len + 1);
        buf_init(&again, 2 * line.len + 200);
        buf_add_char(&body, '{');
        buf_add(&body, line.data + at + 1, line.len - at - 1);
        if (body.len <= 2)
            continue;
        record_compose(&again, head->kind, head->writer, &head->place, buf_span(&body));
        if (span_equal(buf_span(&again), line))
            return;
    }
    abort();
}

static void write_header_again(const struct segment_header *h)
{
    AUTO_CLEAR(buf) once;
    AUTO_CLEAR(buf) twice;
    struct segment_header back;

    buf_init(&once, RECORD_BYTES_MAX);
    buf_init(&twice, RECORD_BYTES_MAX);
    MUST(segment_header_write(h, &once));
    MUST(segment_header_parse(buf_span(&once), &back, NULL));
    MUST(segment_header_write(&back, &twice));
    MUST(span_equal(buf_span(&once), buf_span(&twice)));
}

static void try_line(struct span line, uint32_t crc)
{
    struct record_effect effect;
    struct segment_header header;
    struct record_head head;
    struct seal seal;
    uint64_t synced;
    struct err err;

    if (record_head_parse(line, &head, &err))
        compose_again(line, &head);
    if (record_effect_parse(line, crc, &effect, &err))
        MUST(effect.crc == crc && effect.kind == head.kind);
    if (segment_header_parse(line, &header, &err))
        write_header_again(&header);
    if (sync_record_parse(line, &synced, &err))
        MUST(synced <= INT64_MAX);
    if (seal_parse(line, &seal, &err))
        MUST(writer_is_valid(span_of(seal.writer)));
}

static void try_segment(struct span bytes)
{
    uint64_t position = bytes.len >= FRAME_HEAD ? frame_position(bytes.data) : 0;
    struct frame frame;
    size_t size;
    bool ended;
    struct err err;

    while (frame_read(bytes, position, &frame, &size, &ended, &err) == 1) {
        MUST(size <= bytes.len && frame.json.len == size - FRAME_HEAD);
        try_line(frame.json, frame.crc);
        bytes.data += size;
        bytes.len -= size;
        position += size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = {(const char *)data, size};
    AUTO_CLEAR(buf) framed;

    buf_init(&framed, FRAME_HEAD + RECORD_BYTES_MAX);
    if (size < 2 || size > RECORD_BYTES_MAX || data[0] != 'L') {
        try_segment(bytes);
        return 0;
    }
    MUST(frame_add(&framed, (struct span){bytes.data + 1, size - 1}));
    try_segment(buf_span(&framed));
    return 0;
}
