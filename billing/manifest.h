/* manifest.h - what a bundle consists of and covers: manifest.json, whose bytes as written are
 * signed (manifest.sig, 64 raw bytes, Ed25519).
 *
 * {"format":1,"kind":"close"|"preview","installation","period","zone","created_at","testing",
 * "files":[{"name","bytes","sha256","uncompressed_sha256","rows","sums":{currency: amount},
 * "refunds":{currency: amount}}],
 * "writers":[{"writer","first_period","segments","sha256","records","events","refunds","sums",
 * "refunded","sealed_at","heads","retired"}],
 * "previous":SHA-256 of the manifest before, or null,"key_id"}
 *
 * Of a writer: up to which segment it is covered, SHA-256 of that segment's content (and so of
 * all before it), what it recorded in the period, when it was sealed (null: not yet), the
 * heads that are covered, and, of a writer that was retired, its retire record (archive_retire.h;
 * null: it was not). */
#ifndef TOLLGATE_BILLING_MANIFEST_H
#define TOLLGATE_BILLING_MANIFEST_H

#include "billing/bundle_file.h"
#include "billing/record.h"
#include "billing/segment.h"
#include "billing/sum_table.h"
#include "billing/terms.h"

#define MANIFEST_FORMAT    1
#define MANIFEST_BYTES_MAX (64 * 1024 * 1024)
#define MANIFEST_NAME      "manifest.json"
#define SIGNATURE_NAME     "manifest.sig"

enum bundle_file {
    BUNDLE_STATEMENTS_CSV,
    BUNDLE_STATEMENTS_JSONL,
    BUNDLE_LINES_CSV,
    BUNDLE_ACCOUNTS_CSV,
    BUNDLE_EVENTS,
    BUNDLE_TERMS,
    BUNDLE_FILES
};
const char *bundle_file_name(enum bundle_file f);

struct manifest_writer {
    char writer[WRITER_TEXT];
    struct period first_period;
    uint64_t segments;
    char sha256[SHA256_HEX]; /* "" when nothing is archived yet */
    struct writer_totals totals;
    int64_t sealed_at; /* 0: not sealed */
    struct record_heads heads;
    char *retired; /* its retire record, when that stands in what is covered; else null; owned */
};
void manifest_writers_free(struct manifest_writer *writers, size_t count);
struct manifest_file {
    struct file_digest digest;
    int64_t rows;
    struct sum_table *sums, *refunds; /* what clients paid, and got back, by currency; owned */
};
struct manifest {
    bool is_preview, testing;
    char installation[INSTALLATION_TEXT], zone[ZONE_TEXT];
    struct period period;
    int64_t created_at;
    struct manifest_file files[BUNDLE_FILES];
    size_t writer_count;
    struct manifest_writer *writers; /* by id; owned */
    char previous[SHA256_HEX];       /* "": none */
    char key_id[KEY_ID_TEXT];
};
void manifest_init(struct manifest *m);
void manifest_clear(struct manifest *m);
DEFINE_AUTO_CLEAR(manifest)
void manifest_writer_write(const struct manifest_writer *writer, struct jw *w);
bool manifest_write(const struct manifest *m, struct buf *out);
bool manifest_parse(struct span text, struct manifest *out, struct err *err) MUST_USE;

/* Signs and writes both files, which must not exist. */
bool manifest_publish(const struct manifest *m, const struct signing_key *key, const char *dir,
                      struct err *err) MUST_USE;
/* Reads both, the manifest's bytes into `text` too; the signature is only measured. */
bool manifest_read(const char *dir, struct manifest *out, struct buf *text,
                   unsigned char signature[ED25519_SIGNATURE_LEN], struct err *err) MUST_USE;

#endif
