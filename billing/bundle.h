/* bundle.h - a directory that finance can pay from and anyone can verify: statements.csv,
 * statements.jsonl, lines.csv, accounts.csv, events.jsonl.zst (the archive's record lines, whole, in the order
 * of settlement: events, then the refunds that count), terms.json, manifest.json, manifest.sig. */
#ifndef TOLLGATE_BILLING_BUNDLE_H
#define TOLLGATE_BILLING_BUNDLE_H

#include "billing/event_pass.h"
#include "billing/fact_list.h"
#include "billing/manifest.h"

#define BUNDLE_TEXT_MAX ((size_t)1 << 30)

/* The five files that follow from events and terms. */
struct bundle_texts {
    struct buf text[BUNDLE_FILES]; /* nothing for the events */
    int64_t rows[BUNDLE_FILES];
};
void bundle_texts_init(struct bundle_texts *t);
void bundle_texts_clear(struct bundle_texts *t);
DEFINE_AUTO_CLEAR(bundle_texts)
/* Sorts the pass's tally: no event can be added any more. */
bool bundle_render(struct event_pass *pass, const struct public_keys *keys, bool is_preview,
                   struct bundle_texts *out, struct err *err) MUST_USE;

/* Writes all files into the empty directory and syncs it. `m` has its head and its writers;
 * files and key id are filled in. */
bool bundle_write(const char *dir, struct manifest *m, struct terms *terms, struct fact_list *facts,
                  const struct signing_key *key, struct err *err) MUST_USE;

/* Copies a bundle, file by file, into `to`, which is made if need be: what is there of an
 * earlier bundle is replaced, any other file is ERR_EXISTS. The signature comes last. */
bool bundle_copy(const char *from, const char *to, struct err *err) MUST_USE;
/* All names of a bundle's files, null-terminated. */
extern const char *const bundle_names[];
bool bundle_has_name(const char *name);
/* Whether `dir` holds a bundle's files, all of them, and nothing else, hidden or not. ERR_EXISTS
 * names the first that is none of a bundle's; ERR_NOT_FOUND the first that is missing. */
bool bundle_check_names(const char *dir, struct err *err) MUST_USE;
/* Whether a bundle may be written there: nothing is there yet, or a bundle of the same period and
 * kind. Everything else is ERR_EXISTS. */
bool bundle_may_go_to(const char *dir, struct period p, bool is_preview, struct err *err) MUST_USE;
void bundle_remove(
    const char *dir); /* a bundle's files and the directory; what cannot be removed stays */

#endif
