/* secret.h - bytes that must never reach a log: a type that no printf conversion takes.
 * Wiped when cleared; compared in constant time. */
#ifndef TOLLGATE_BASE_SECRET_H
#define TOLLGATE_BASE_SECRET_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

#define SECRET_MAX 2048 /* providers' keys are some hundred, signed tokens up to two thousand */

struct secret {
    size_t len;
    unsigned char bytes[SECRET_MAX];
};

bool secret_set(struct secret *s, struct span bytes, struct err *err) MUST_USE; /* ERR_LIMIT over SECRET_MAX */
void secret_clear(struct secret *s);
DEFINE_AUTO_CLEAR(secret)
bool secret_equal(const struct secret *a, const struct secret *b);
/* For handing it to a peer that must have it (a header, AUTH); the name makes every such place easy to find. */
struct span secret_reveal(const struct secret *s);

/* Reads a file of mode 0600 or stricter (else ERR_DENIED, saying which chmod helps); one trailing newline is dropped. */
bool secret_read_file(struct secret *s, const char *path, struct err *err) MUST_USE;

#endif
