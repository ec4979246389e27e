/* archive_file.h - one file of the archive: its name, its first line, and whether two of them say the same.
 *
 * The first line says what the file holds and what its writer had done when it ended, so a reader
 * who looks for a call or a period passes over files by their first lines alone. It is part of what
 * the next file's hash covers, and whoever reads a whole file checks it against the records. */
#ifndef TOLLGATE_BILLING_ARCHIVE_FILE_H
#define TOLLGATE_BILLING_ARCHIVE_FILE_H

#include "billing/journal_state.h"
#include "billing/record.h"
#include "billing/segment.h"
#include "lib/base/crypto.h"

#define ARCHIVE_FORMAT 1

struct archive_header {
    char installation[INSTALLATION_TEXT];
    char writer[WRITER_TEXT];
    uint64_t segment;
    char previous[SHA256_HEX];                 /* "" for the first */
    uint64_t records;                          /* lines that follow */
    int64_t first_at, last_at;                 /* 0 when there are none */
    uint64_t calls, refunds, funds, catalogue, retired; /* how many of the lines are of that kind */
    int64_t first_request_ms, last_request_ms; /* lowest and highest that ids of calls carry */
    struct writer_totals totals; /* of the period that the writer is in when the file ends */
    struct record_heads heads;   /* when the file ends */
};
/* Counts the next line in. Before the first, totals and heads are those before the file. */
bool archive_header_take(struct archive_header *h, const struct record_effect *e,
                         struct err *err) MUST_USE;

/* archive/<writer>; archive/<writer>/00000012.jsonl.zst; caller frees. */
char *archive_dir(const char *archive, const char *writer) MUST_USE;
char *archive_path(const char *archive, const char *writer, uint64_t segment) MUST_USE;
/* The segment of a name that archive_path() makes; false for others. */
bool archive_name_parse(const char *name, uint64_t *segment) MUST_USE;
/* The highest segment of a writer, 0 if none; ERR_CORRUPT when one below it is missing. */
bool archive_last_segment(const char *archive, const char *writer, uint64_t *last,
                          struct err *err) MUST_USE;

bool archive_header_write(const struct archive_header *h, struct buf *line);
bool archive_header_parse(struct span line, struct archive_header *out, struct err *err) MUST_USE;
/* Reads a whole file: its first line and the SHA-256 of what is inside. */
bool archive_file_digest(const char *path, struct archive_header *header, char sha256[SHA256_HEX],
                         struct err *err) MUST_USE;
/* Its first line alone. */
bool archive_file_header(const char *path, struct archive_header *header, struct err *err) MUST_USE;

#endif
