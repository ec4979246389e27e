/* text.c - strict decoding: every text has exactly one spelling that is accepted, so what was hashed or signed
 * as text cannot be rewritten unnoticed. */
#include "lib/base/text.h"

#include <assert.h>

#define ID_MAX 64

/* What the alphabets of base64 and base64url have in common. */
#define SIXES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static int hex_value(char c);
static bool encode_sixes(struct buf *out, struct span in, const char *alphabet);
static int base64url_value(char c);
static bool is_base64url(struct span text);
static bool is_letter_or_digit(char c);

void hex_encode(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * n] = '\0';
}

/* Looks at everything before writing anything. */
bool hex_decode(struct span text, void *out, size_t n)
{
    unsigned char *bytes = out;

    if (text.len % 2 != 0 || text.len / 2 != n)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (hex_value(text.data[i]) < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        bytes[i] =
            (unsigned char)(hex_value(text.data[2 * i]) * 16 + hex_value(text.data[2 * i + 1]));
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool base64url_encode(struct buf *out, const void *bytes, size_t n)
{
    return encode_sixes(out, (struct span){bytes, n}, SIXES "-_");
}

bool base64_encode(struct buf *out, const void *bytes, size_t n)
{
    encode_sixes(out, (struct span){bytes, n}, SIXES "+/");
    return buf_add(out, "==", (3 - n % 3) % 3);
}

static bool encode_sixes(struct buf *out, struct span in, const char *alphabet)
{
    const unsigned char *bytes = (const unsigned char *)in.data;

    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        char text[4];

        if (have > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (have > 2)
            group |= bytes[i + 2];
        for (size_t k = 0; k <= have; k++)
            text[k] = alphabet[group >> (18 - 6 * k) & 63];
        buf_add(out, text, have + 1);
    }
    return !out->failed;
}

bool base64url_decode(struct buf *out, struct span text)
{
    uint32_t bits = 0;
    unsigned have = 0;
    char *room;
    size_t n = 0;

    if (!is_base64url(text))
        return false;
    room = buf_room(out, text.len / 4 * 3 + 2);
    if (!room)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bits = bits << 6 | (uint32_t)base64url_value(text.data[i]);
        have += 6;
        if (have >= 8) {
            have -= 8;
            room[n++] = (char)(bits >> have);
        }
    }
    buf_added(out, n);
    return true;
}

/* The bits of the last character that stand for no byte must be zero, or two texts would mean the same bytes. */
static bool is_base64url(struct span text)
{
    static const int spare_bits[] = {0, -1, 15, 3};
    int spare = spare_bits[text.len % 4];

    if (spare < 0)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (base64url_value(text.data[i]) < 0)
            return false;
    return text.len == 0 || (base64url_value(text.data[text.len - 1]) & spare) == 0;
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool int64_parse(struct span text, int64_t *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    struct span digits = negative ? (struct span){text.data + 1, text.len - 1} : text;
    uint64_t magnitude;

    if (!digits_parse(digits, (uint64_t)INT64_MAX + negative, &magnitude))
        return false;
    if (digits.data[0] == '0' && (digits.len > 1 || negative))
        return false;
    *out = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return true;
}

bool digits_parse(struct span text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';

        if (digit > 9 || value > (max - digit % 10) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

struct span int64_text(int64_t n, char out[INT64_TEXT])
{
    struct span digits = uint64_text(n < 0 ? -(uint64_t)n : (uint64_t)n, out);
    char *at = out + (INT64_TEXT - 1 - digits.len);

    if (n >= 0)
        return digits;
    *--at = '-';
    return (struct span){at, digits.len + 1};
}

struct span uint64_text(uint64_t n, char out[INT64_TEXT])
{
    char *end = out + INT64_TEXT - 1, *at = end;

    *end = '\0';
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    return (struct span){at, (size_t)(end - at)};
}

bool id_is_valid(struct span id)
{
    if (id.len == 0 || id.len > ID_MAX || !is_letter_or_digit(id.data[0]))
        return false;
    for (size_t i = 1; i < id.len; i++)
        if (!is_letter_or_digit(id.data[i]) && !memchr("._-", id.data[i], 3))
            return false;
    return true;
}

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Table 3-7 of the Unicode standard: only the second byte's range depends on the first. */
size_t utf8_length(struct span s)
{
    const unsigned char *c = (const unsigned char *)s.data;
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (s.len == 0 || c[0] < 0x80)
        return s.len ? 1 : 0;
    if (c[0] < 0xc2 || c[0] > 0xf4)
        return 0;
    n = c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (c[0] == 0xe0)
        low = 0xa0;
    else if (c[0] == 0xed)
        high = 0x9f;
    else if (c[0] == 0xf0)
        low = 0x90;
    else if (c[0] == 0xf4)
        high = 0x8f;
    if (s.len < n || c[1] < low || c[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (c[i] < 0x80 || c[i] > 0xbf)
            return 0;
    return n;
}
