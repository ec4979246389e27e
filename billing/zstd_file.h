/* zstd_file.h - text files under zstd, streamed in both directions with bounded memory; the SHA-256 is of what is inside. */
#ifndef TOLLGATE_BILLING_ZSTD_FILE_H
#define TOLLGATE_BILLING_ZSTD_FILE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/crypto.h"

struct zstd_writer;
/* Creates `path`, which must not exist. */
struct zstd_writer *zstd_writer_open(const char *path, struct err *err) MUST_USE;
bool zstd_writer_add(struct zstd_writer *w, struct span bytes, struct err *err) MUST_USE;
/* Ends the file and fsyncs it. */
bool zstd_writer_finish(struct zstd_writer *w, char sha256[SHA256_HEX], struct err *err) MUST_USE;
void zstd_writer_free(struct zstd_writer *w);
DEFINE_AUTO(zstd_writer)

struct zstd_reader;
struct zstd_reader *zstd_reader_open(const char *path, struct err *err) MUST_USE;
/* 1: a line without its newline, valid until the next call; 0: the end; -1: ERR_CORRUPT naming file and line for bytes that are no
 * whole zstd stream, a line beyond `line_max`, or a last line without newline. */
int zstd_reader_line(struct zstd_reader *r, size_t line_max, struct span *line, struct err *err) MUST_USE;
uint64_t zstd_reader_line_number(const struct zstd_reader *r); /* of the line returned last, from 1 */
/* After the end. */
void zstd_reader_sha256(const struct zstd_reader *r, char sha256[SHA256_HEX]);
void zstd_reader_free(struct zstd_reader *r);
DEFINE_AUTO(zstd_reader)

#endif
