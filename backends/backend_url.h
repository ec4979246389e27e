/* backend_url.h - where a backend is: http://host[:port][/path], or https. */
#ifndef TOLLGATE_BACKENDS_BACKEND_URL_H
#define TOLLGATE_BACKENDS_BACKEND_URL_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct backend_url {
    char *origin;     /* "http://host:port"; the caller frees it */
    const char *path; /* in the text that was parsed: "/v1", "" */
    bool is_tls;
};
/* ERR_INPUT says what is wrong, without repeating what may be a secret. */
bool backend_url_parse(const char *text, struct backend_url *out, struct err *err) MUST_USE;

#endif
