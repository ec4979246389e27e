/* bundle_file.h - one file of a bundle as bytes: how many, and their SHA-256. */
#ifndef TOLLGATE_BILLING_BUNDLE_FILE_H
#define TOLLGATE_BILLING_BUNDLE_FILE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/crypto.h"

struct file_digest {
    uint64_t bytes;
    char sha256[SHA256_HEX];
    char uncompressed_sha256[SHA256_HEX]; /* the same for a file that is not compressed */
};

/* Creates dir/name, which must not exist, and fsyncs it. */
bool bundle_file_write(const char *dir, const char *name, struct span bytes,
                       struct file_digest *digest, struct err *err) MUST_USE;
/* Reads dir/name to its end. The caller knows better what is inside of a compressed one. */
bool bundle_file_digest(const char *dir, const char *name, struct file_digest *digest,
                        struct err *err) MUST_USE;

#endif
