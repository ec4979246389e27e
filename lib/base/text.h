/* text.h - bytes as text and back: hex, base64url (RFC 4648 section 5, no padding), base64 (section 4), decimal integers. */
#ifndef TOLLGATE_BASE_TEXT_H
#define TOLLGATE_BASE_TEXT_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

/* `out` has 2n+1 bytes. */
void hex_encode(const void *bytes, size_t n, char *out);
/* Exactly 2n hex digits, either case. */
bool hex_decode(struct span text, void *out, size_t n) MUST_USE;

bool base64url_encode(struct buf *out, const void *bytes, size_t n);
bool base64url_decode(struct buf *out, struct span text) MUST_USE;
/* The common alphabet, with padding. */
bool base64_encode(struct buf *out, const void *bytes, size_t n);

/* The whole span is a decimal integer without leading '+', blanks or leading zeros (but "0"), within int64. */
bool int64_parse(struct span text, int64_t *out) MUST_USE;
/* Digits only, leading zeros allowed, value ≤ max. */
bool digits_parse(struct span text, uint64_t max, uint64_t *out) MUST_USE;

/* Decimal digits without printf, for what is formatted at every call: the text stands at the end of `out`, NUL-terminated. */
#define INT64_TEXT 21
struct span int64_text(int64_t n, char out[INT64_TEXT]);
struct span uint64_text(uint64_t n, char out[INT64_TEXT]);

/* 1 to 64 characters of [A-Za-z0-9._-], beginning with a letter or digit: ids of accounts, creators, prices. */
bool id_is_valid(struct span id);

/* Bytes of the well-formed UTF-8 sequence (RFC 3629) that `s` begins with, 1 to 4; 0 when there is none. */
size_t utf8_length(struct span s);

#endif
