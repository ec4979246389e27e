/* segment.h - one file of a journal: frames of {u32 length, u32 CRC32C of the JSON, u64 position, JSON}, little endian.
 *
 * `position` counts bytes over the writer's whole life; a file's first byte stands at its segment record's position, and a
 * segment ends where the next one begins. The first frame is the segment record: {"kind":"segment","format":1,"installation","writer","segment",
 * "position","open_position","at","period","totals":{…},"heads":{"a17":[n,"crc"],…}}: all that is needed to go on from here.
 * Open segments are preallocated and named 00000012.open: a zero length ends them; sealed ones are truncated and named 00000012.seg. */
#ifndef TOLLGATE_BILLING_SEGMENT_H
#define TOLLGATE_BILLING_SEGMENT_H

#include "billing/record.h"

#define FRAME_HEAD 16
#define SEGMENT_FORMAT 1
#define INSTALLATION_TEXT 40
#define TOTALS_CURRENCIES 192
#define SEGMENT_HEADER_MAX (24 * 1024) /* of a segment record's or a SEAL's frame: all partitions, all currencies */
#define SYNC_FRAME_MAX 64

struct frame {
    uint64_t position;
    uint32_t crc;
    struct span json;
};

/* Appends a frame whose position is filled later by frame_place(). */
bool frame_add(struct buf *out, struct span json);
void frame_place(char *frame, uint64_t position);
uint64_t frame_position(const char *frame); /* as its head states it */
uint32_t frame_crc(const char *frame);
/* 1: one frame at the start of `bytes`, *size bytes long; 0: more bytes are needed or a zero length ends the segment (*ended says which);
 * -1: what stands here is no frame (length, CRC or position wrong): err says what. */
int frame_read(struct span bytes, uint64_t expected_position, struct frame *out, size_t *size, bool *ended, struct err *err) MUST_USE;

/* What a writer has done in its present period: what its SEAL will state. */
struct writer_totals {
    struct period period;
    uint64_t records, events, refunds;
    size_t currency_count;
    struct {
        char currency[CURRENCY_TEXT];
        int128 nanos, refunded; /* of its events; of its refunds, whether or not they count */
    } sum[TOTALS_CURRENCIES]; /* in the order of their first event or refund */
};
/* An event, or a refund. ERR_LIMIT beyond TOTALS_CURRENCIES, which no list of known currencies reaches. */
bool writer_totals_add(struct writer_totals *t, const struct money *amount, struct err *err) MUST_USE;
bool writer_totals_add_refund(struct writer_totals *t, const struct money *amount, struct err *err) MUST_USE;
/* The next numbered record of the period; `amount` is looked at of calls and refunds. */
bool writer_totals_take(struct writer_totals *t, enum record_kind kind, const struct money *amount, struct err *err) MUST_USE;
bool writer_totals_equal(const struct writer_totals *a, const struct writer_totals *b);
/* The members "records","events","refunds","sums":{"CNY":"12.5"},"refunded":{"CNY":"0"} of an object that the caller has begun, both with the same
 * currencies; the period is the caller's. */
void writer_totals_write(const struct writer_totals *t, struct jw *w);
bool writer_totals_parse(const json_t *object, struct writer_totals *out, struct err *err) MUST_USE;

struct segment_header {
    char installation[INSTALLATION_TEXT];
    char writer[WRITER_TEXT];
    uint64_t segment;       /* 1, 2, 3 … */
    uint64_t position;      /* of the file's first byte */
    uint64_t open_position; /* where the oldest call open at this point has its BEGIN; = position if none */
    int64_t at;             /* a writer's time never runs back */
    struct writer_totals totals;
    struct record_heads heads; /* before this segment */
};
bool segment_header_write(const struct segment_header *h, struct buf *json);
bool segment_header_parse(struct span json, struct segment_header *out, struct err *err) MUST_USE;
/* {"kind":"sync","synced":POSITION}: everything before that position is durable. */
bool sync_record_write(uint64_t synced, struct buf *json);
bool sync_record_parse(struct span json, uint64_t *synced, struct err *err) MUST_USE;

/* dir/00000012.open or .seg; caller frees. */
char *segment_path(const char *dir, uint64_t number, bool sealed) MUST_USE;
/* The first frame of a file, checked. */
bool segment_header_read(const char *path, struct segment_header *out, struct err *err) MUST_USE;

/* The segments of a journal directory, in order. A directory that others change meanwhile is read again. */
struct segment_file {
    uint64_t number;
    bool sealed;
    uint64_t position; /* from its header */
    uint64_t size;     /* sealed: the file's; open: unknown until read */
    char *path;
};
bool segment_list(const char *dir, struct segment_file **files, size_t *count, struct err *err) MUST_USE;
void segment_list_free(struct segment_file *files, size_t count);

/* Reads frames of one file in order through a bounded window; knows nothing of durability: a bad frame is ERR_CORRUPT at a position. */
struct segment_reader;
/* Starts at `position`, where a frame must begin. */
struct segment_reader *segment_reader_open(const char *path, uint64_t position, struct err *err) MUST_USE;
/* Nothing at or beyond this position is read until the limit is raised: what another thread is still writing. */
void segment_reader_limit(struct segment_reader *r, uint64_t position);
void segment_reader_free(struct segment_reader *r);
DEFINE_AUTO(segment_reader)
/* 1: *out is valid until the next call; 0: the end for now (an open segment may grow: call again later); -1: corrupt or unreadable. */
int segment_reader_next(struct segment_reader *r, struct frame *out, struct err *err) MUST_USE;
uint64_t segment_reader_position(const struct segment_reader *r); /* of the next frame */

#endif
