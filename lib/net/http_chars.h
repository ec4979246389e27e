/* http_chars.h - which bytes may stand where in HTTP (RFC 9110 section 5, RFC 3986), as one table. */
#ifndef TOLLGATE_NET_HTTP_CHARS_H
#define TOLLGATE_NET_HTTP_CHARS_H

#include "lib/base/attr.h"

enum {
    HTTP_TOKEN = 1,  /* methods and header names */
    HTTP_VALUE = 2,  /* header values: no control byte but HTAB */
    HTTP_TARGET = 4, /* request targets: visible ASCII but '#' */
    HTTP_HOST = 8,   /* names, IPv4, [IPv6] and port; no user, no blanks, no lists */
};

extern const unsigned char http_chars[256];

static inline bool http_char_is(char c, unsigned kinds)
{
    return http_chars[(unsigned char)c] & kinds;
}

#endif
