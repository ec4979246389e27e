/* archive_proof.h - proves that a bundle has every event that the archive holds of its period,
 * and no other. */
#ifndef TOLLGATE_BILLING_ARCHIVE_PROOF_H
#define TOLLGATE_BILLING_ARCHIVE_PROOF_H

#include "billing/manifest.h"

struct archive_proof {
    const char *archive;
    const char *dir; /* the bundle's */
    const struct manifest *manifest;
    const struct terms *terms;      /* as the bundle states them */
    const struct public_keys *keys; /* likewise */
    struct span terms_text;         /* terms.json */
};
/* Reads the archive again for the writers and segments that the manifest covers. Every writer
 * that had registered by the period's end must be listed; what each did must be as stated;
 * events and terms must come out byte for byte. */
bool archive_proof_check(const struct archive_proof *p, struct err *err) MUST_USE;

#endif
