/* closes.h - the closed periods, archive/closes/<period>/: which there are, what is carried from
 * one to the next, and how a new one gets its name. */
#ifndef TOLLGATE_BILLING_CLOSES_H
#define TOLLGATE_BILLING_CLOSES_H

#include "billing/manifest.h"
#include "billing/sum_table.h"
#include "lib/base/crypto.h"
#include "lib/base/file.h"

char *close_dir(const char *archive, struct period p) MUST_USE; /* caller frees */
bool close_exists(const char *archive, struct period p);
/* In order; free(). */
bool closes_list(const char *archive, struct period **periods, size_t *count,
                 struct err *err) MUST_USE;

/* What the latest close before a period leaves to it: its manifest's SHA-256 ("" when there is
 * none), and each "creator currency" whose closing is not zero. ERR_CORRUPT unless the
 * statements are those of its manifest. */
bool close_carry(const char *archive, struct period p, char manifest_sha256[SHA256_HEX],
                 struct sum_table *openings, struct err *err) MUST_USE;
/* The same of one bundle's directory. */
bool bundle_carry(const char *dir, char manifest_sha256[SHA256_HEX], struct sum_table *openings,
                  struct err *err) MUST_USE;

/* One of a bundle's files, which must be the one that its manifest lists; and that manifest's
 * SHA-256. */
bool bundle_read_listed(const char *dir, enum bundle_file f, struct buf *text,
                        char manifest_sha256[SHA256_HEX], struct err *err) MUST_USE;

/* An empty directory beside the closes, and the lock that makes it ours. ERR_EXISTS when another
 * close is running. */
struct closing;
struct closing *closing_begin(const char *archive, struct err *err) MUST_USE;
const char *closing_dir(const struct closing *c);
/* Renames it, with the bundle that was written into it, to the period's name. */
bool closing_commit(struct closing *c, struct period p, struct err *err) MUST_USE;
void closing_free(struct closing *c); /* what was not committed is removed */
DEFINE_AUTO(closing)

#endif
