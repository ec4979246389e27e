/* addr_range.c - both families are compared as 128 bits, so that a client which comes over a dual-stack socket is the
 * same as over any other. */
#include "lib/net/addr_range.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/text.h"

#define V4_AT     12 /* where an IPv4 address stands among the 16 bytes */
#define RANGE_MAX 64

static bool read_address(const char *text, unsigned char out[16], unsigned *bits);
static bool ends_in_zeros(const unsigned char bytes[16], unsigned bits);
static void map_v4(const void *v4, unsigned char out[16]);

bool addr_range_parse(const char *text, struct addr_range *out, struct err *err)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct addr_range range;
    char address[RANGE_MAX];
    uint64_t prefix;
    unsigned width;

    if (!span_copy((struct span){text, len}, address, sizeof address) ||
        !read_address(address, range.start, &width))
        return err_set(err, ERR_INPUT, "'%.60s' is no address, nor a range such as 10.0.0.0/8",
                       text);
    prefix = width;
    if (slash && !digits_parse(span_of(slash + 1), width, &prefix))
        return err_set(err, ERR_INPUT, "'%.60s': the prefix must be from 0 to %u", text, width);
    range.bits = 128 - width + (unsigned)prefix;
    if (!ends_in_zeros(range.start, range.bits))
        return err_set(err, ERR_INPUT,
                       "'%.60s' has bits set beyond its prefix; write the range's first address",
                       text);
    *out = range;
    return true;
}

static bool read_address(const char *text, unsigned char out[16], unsigned *bits)
{
    unsigned char v4[4];

    if (inet_pton(AF_INET, text, v4) == 1) {
        map_v4(v4, out);
        *bits = 32;
        return true;
    }
    *bits = 128;
    return inet_pton(AF_INET6, text, out) == 1;
}

static void map_v4(const void *v4, unsigned char out[16])
{
    memset(out, 0, V4_AT);
    out[V4_AT - 2] = out[V4_AT - 1] = 0xff;
    memcpy(out + V4_AT, v4, 4);
}

static unsigned bit_at(const unsigned char bytes[16], unsigned i)
{
    return bytes[i / 8] >> (7 - i % 8) & 1u;
}

static bool ends_in_zeros(const unsigned char bytes[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (bit_at(bytes, i))
            return false;
    return true;
}

bool addr_range_has(const struct addr_range *r, const struct addr *a)
{
    unsigned char bytes[16];
    unsigned whole = r->bits / 8;

    if (a->u.any.sa_family == AF_INET)
        map_v4(&a->u.v4.sin_addr, bytes);
    else if (a->u.any.sa_family == AF_INET6)
        memcpy(bytes, &a->u.v6.sin6_addr, sizeof bytes);
    else
        return false;
    if (memcmp(bytes, r->start, whole) != 0)
        return false;
    for (unsigned i = whole * 8; i < r->bits; i++)
        if (bit_at(bytes, i) != bit_at(r->start, i))
            return false;
    return true;
}
