/* archive.h - all numbered records for ever: archive/<writer>/<segment, 8 digits>.jsonl.zst, hash-chained, readable with zstd, sha256sum and jq.
 *
 * The first line of a file is {"kind":"archive","format":1,"installation","writer","segment","previous" (SHA-256 of the uncompressed file before, null for the first),
 * "records","first_at","last_at","calls","refunds","funds","catalogue","retired","first_request_ms","last_request_ms","period","totals":{"records","events","refunds","sums","refunded"},"heads":{"a17":[n,"crc"],…}}; then the records' lines
 * as the journal holds them, in order, numbered ones and SEALs; of a writer that was retired the last file has what was saved of it, and a retire record (archive_retire.h). Period, totals (of that period) and heads are the writer's at the file's end. Segment numbers are dense per writer.
 * Files are written aside, fsynced, linked to their name, the directory fsynced; a name is never replaced.
 * archive/writers/<writer>.json: {"format":1,"writer","installation","first_period","registered_at"}. archive/closes/<period>/ are closed periods (closes.h).
 * No single process is assumed: any host may read while another adds. */
#ifndef TOLLGATE_BILLING_ARCHIVE_H
#define TOLLGATE_BILLING_ARCHIVE_H

#include "billing/record.h"
#include "billing/seal.h"
#include "billing/segment.h"

/* Creates archive/writers/<writer>.json unless it is there; ERR_CORRUPT when what is there is another installation's. */
bool archive_register(const char *archive, const char *installation, const char *writer, struct period first, struct err *err) MUST_USE;

/* Whose archive it is, as its first registration says; "" while nobody has registered. */
bool archive_installation(const char *archive, char installation[INSTALLATION_TEXT], struct err *err) MUST_USE;

/* Archives every sealed segment under `journal_root` that is not archived yet, in order per writer; *added counts. Needs no lock: sealed segments do not change.
 * One writer's trouble does not stop the others: all are tried, then the first failure is told. */
bool archive_add_sealed(const char *archive, const char *journal_root, size_t *added, struct err *err) MUST_USE;
/* Removes journal segments that are archived, older than `age_ns`, and whose last record's period is closed (archive/closes/<period>).
 * Oldest first, and never what recovery may need: the last two, and whatever stands at or after the last header's open_position. */
bool archive_release_segments(const char *archive, const char *journal_root, int64_t age_ns, size_t *removed, struct err *err) MUST_USE;

struct archive_writer {
    char writer[WRITER_TEXT];
    struct period first_period;
    uint64_t segments;  /* highest archived number, 0 if none */
};
bool archive_writers(const char *archive, struct archive_writer **writers, size_t *count, struct err *err) MUST_USE; /* free() */
/* Some writer has archived something. All writers of today may be new, after a restore of the archive alone. */
bool archive_has_history(const char *archive) MUST_USE;

/* Reads all lines of a writer in order, verifying chain, header and density. */
struct archive_reader;
struct archive_header; /* archive_file.h */
struct archive_reader *archive_reader_open(const char *archive, const char *writer, struct err *err) MUST_USE;
void archive_reader_free(struct archive_reader *r);
DEFINE_AUTO(archive_reader)
/* 1: a record line (valid until the next call); 0: the end; -1: damaged: err names file and line. */
int archive_reader_next(struct archive_reader *r, struct record_head *head, struct span *line, uint32_t *crc, struct err *err) MUST_USE;
/* The same file by file: enters the next one (1; 0: there is none), whose header says whether it is worth reading; its lines, up to 0;
 * or passes over what is left of it. What follows a file that was passed over is checked against its header, not against its hash. */
int archive_reader_enter(struct archive_reader *r, struct err *err) MUST_USE;
int archive_reader_line(struct archive_reader *r, struct record_head *head, struct span *line, uint32_t *crc, struct err *err) MUST_USE;
void archive_reader_pass(struct archive_reader *r);
const struct archive_header *archive_reader_header(const struct archive_reader *r); /* of the file entered last */

#endif
