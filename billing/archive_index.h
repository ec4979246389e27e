/* archive_index.h - what the archive holds, by the first lines of its files: kept in memory by a
 * process that trims Redis's streams and looks old calls up. 64 bytes a segment, 2 KB a writer. */
#ifndef TOLLGATE_BILLING_ARCHIVE_INDEX_H
#define TOLLGATE_BILLING_ARCHIVE_INDEX_H

#include "billing/archive.h"

struct archived_segment {
    const char *writer;
    uint64_t number;
    int64_t first_at, last_at;                 /* of its records */
    int64_t first_request_ms, last_request_ms; /* of its calls' ids */
    uint64_t calls;
    uint64_t account_partitions; /* bit i: it holds records of a<i> */
};

struct archive_index;
struct archive_index *archive_index_new(const char *archive) MUST_USE;
void archive_index_free(struct archive_index *x);
DEFINE_AUTO(archive_index)
/* Takes in files that were archived since, at most `files_max` of them; *is_whole: none is left. */
bool archive_index_refresh(struct archive_index *x, size_t files_max, bool *is_whole,
                           struct err *err) MUST_USE;
/* All records of the writer up to these numbers are archived; null when none is. */
const struct record_heads *archive_index_heads(const struct archive_index *x, const char *writer);
/* Segments with calls, in no order; valid until the next refresh. */
const struct archived_segment *archive_index_segments(const struct archive_index *x, size_t *count);

#endif
