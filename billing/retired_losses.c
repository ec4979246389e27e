/* retired_losses.c - lost numbers stand one after another in the segment, so they make few ranges. */
#include "billing/retired_losses.h"

#include <stdlib.h>

#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/mem.h"

static bool read_lines(const char *path, struct retired_losses *out, struct err *err);
static void note(struct retired_losses *l, struct partition p, uint64_t n);

bool retired_losses_read(const char *archive, const char *writer, struct retired_losses *out,
                         struct err *err)
{
    AUTO_CLEAR(retired_losses) found = {.count = 0};
    uint64_t last;

    if (!archive_last_segment(archive, writer, &last, err))
        return false;
    if (last) {
        AUTO_STRING path = archive_path(archive, writer, last);

        if (!read_lines(path, &found, err))
            return false;
    }
    *out = found;
    found = (struct retired_losses){.count = 0};
    return true;
}

/* The first line is the file's header. */
static bool read_lines(const char *path, struct retired_losses *out, struct err *err)
{
    AUTO(zstd_reader) r = zstd_reader_open(path, err);
    struct record_head head;
    struct span line;
    int got;

    if (!r || zstd_reader_line(r, RECORD_BYTES_MAX, &line, err) < 0)
        return false;
    while ((got = zstd_reader_line(r, RECORD_BYTES_MAX, &line, err)) == 1) {
        if (!record_head_parse(line, &head, err))
            return false;
        for (int side = 0; side < SIDES && head.kind == RECORD_LOST; side++)
            if (head.place.on[side])
                note(out, (struct partition){(enum partition_side)side, head.place.partition[side]},
                     head.place.n[side]);
    }
    return got == 0;
}

static void note(struct retired_losses *l, struct partition p, uint64_t n)
{
    struct retired_loss *last = l->count ? &l->ranges[l->count - 1] : NULL;

    if (last && last->partition.side == p.side && last->partition.index == p.index &&
        last->to + 1 == n) {
        last->to = n;
        return;
    }
    l->ranges = xrealloc_array(l->ranges, l->count + 1, sizeof *l->ranges);
    l->ranges[l->count++] = (struct retired_loss){p, n, n};
}

void retired_losses_clear(struct retired_losses *l)
{
    free(l->ranges);
    *l = (struct retired_losses){.count = 0};
}

bool retired_losses_have(const struct retired_losses *l, const struct record_place *place)
{
    for (const struct retired_loss *r = l->ranges; r < l->ranges + l->count; r++) {
        enum partition_side side = r->partition.side;

        if (place->on[side] && place->partition[side] == r->partition.index &&
            place->n[side] >= r->from && place->n[side] <= r->to)
            return true;
    }
    return false;
}
