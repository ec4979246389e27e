/* segment_writer.h - the segment that grows, and the spare files beside it. A spare is space that the disk has promised
 * already: `spare-1`, `spare-2` …, allocated and all zero. One is taken as `new`, gets its first frames, is synced, and only then gets
 * its number: a segment that has a name begins with bytes that are durable. */
#ifndef TOLLGATE_BILLING_SEGMENT_WRITER_H
#define TOLLGATE_BILLING_SEGMENT_WRITER_H

#include "billing/segment.h"

#define SPARES_MAX 64

struct segment_writer {
    const char *dir; /* borrowed */
    uint64_t segment_bytes;
    unsigned spares;
    int fd;            /* of the growing segment, -1 while there is none */
    uint64_t number;
    uint64_t base;     /* position of its first byte */
    uint64_t position; /* where the next frame goes */
};

/* Counts the spares that stand there, and makes a spare again of one that was never finished. */
bool segment_writer_init(struct segment_writer *w, const char *dir, uint64_t segment_bytes,
                         struct err *err) MUST_USE;
void segment_writer_clear(struct segment_writer *w);
DEFINE_AUTO_CLEAR(segment_writer)

/* One more spare; ERR_FULL when the disk has no room for it. */
bool segment_writer_add_spare(struct segment_writer *w, struct err *err) MUST_USE;
/* Goes on in an open segment at `position`, behind which it is all zero. */
bool segment_writer_resume(struct segment_writer *w, const char *path, uint64_t number,
                           uint64_t base, uint64_t position, struct err *err) MUST_USE;

/* Takes a spare (making one if there is none) for the segment that begins at `base`. The one before is left as it is. */
bool segment_writer_begin(struct segment_writer *w, uint64_t number, uint64_t base,
                          struct err *err) MUST_USE;
bool segment_writer_append(struct segment_writer *w, struct span bytes, struct err *err) MUST_USE;
bool segment_writer_sync(struct segment_writer *w, struct err *err) MUST_USE;
/* Syncs what begin() began and gives it its name, durably. */
bool segment_writer_publish(struct segment_writer *w, struct err *err) MUST_USE;
/* What is left before the segment is as large as it should be. */
uint64_t segment_writer_free_bytes(const struct segment_writer *w);

/* Cuts the open segment `number` to `size` bytes and gives it its final name. Its successor must be published: a crash
 * before the end of this is made good by doing it again. */
bool segment_seal(const char *dir, uint64_t number, uint64_t size, struct err *err) MUST_USE;

#endif
