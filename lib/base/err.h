/* err.h - why something could not be done: one code to act on, one sentence for a person.
 *
 * What can fail returns bool or a pointer and takes `struct err *` last; it is written only on failure.
 * The sentence says what is wrong and, where the reader can do something, what. No trailing full stop. */
#ifndef TOLLGATE_BASE_ERR_H
#define TOLLGATE_BASE_ERR_H

#include "lib/base/attr.h"

enum err_code {
    ERR_NONE,
    ERR_INPUT,       /* what the caller sent is malformed or not allowed */
    ERR_LIMIT,       /* larger, longer or more than a stated maximum */
    ERR_NOT_FOUND,   /* the named thing does not exist */
    ERR_EXISTS,      /* it exists already, or is held by another */
    ERR_DENIED,      /* known, but not permitted */
    ERR_UNAVAILABLE, /* a part we depend on is away; trying again later may work */
    ERR_TIMEOUT,     /* a deadline passed; whether it was done is unknown */
    ERR_CLOSED,      /* the peer went away */
    ERR_PROTOCOL,    /* the peer broke its protocol */
    ERR_CORRUPT,     /* stored bytes contradict their checksum or their neighbours */
    ERR_FULL,        /* no space left to store what must be stored */
    ERR_IO,          /* the operating system refused; `sys` has errno */
    ERR_MEMORY,      /* memory for something that a peer can size was refused */
    ERR_CANCELLED,   /* our own side asked it to stop */
};

#define ERR_TEXT_MAX 320

struct err {
    enum err_code code;
    int sys; /* errno, else 0 */
    char text[ERR_TEXT_MAX];
};

/* Both fill `err` (null is accepted: then nobody wants to know) and return false, so that
 * `return err_set(err, …);` leaves a function that returns bool. err_sys() appends strerror(errno)
 * and chooses ERR_FULL for ENOSPC/EDQUOT, ERR_NOT_FOUND for ENOENT, else ERR_IO. */
bool err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
bool err_sys(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " before the text that `err` has; returns false. */
bool err_context(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
