/* rand.c - keys, ids and nonces come from here: a weak one is worse than a stopped process. */
#include "lib/base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t n)
{
    unsigned char *at = out;

    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        n -= (size_t)got;
    }
}

uint64_t rand_u64(void)
{
    uint64_t value;

    rand_bytes(&value, sizeof value);
    return value;
}

/* Draws again what falls into the incomplete last stretch, which would favour small numbers. */
uint64_t rand_below(uint64_t bound)
{
    uint64_t uneven, value;

    assert(bound > 0);
    if (bound == 1)
        return 0;
    uneven = -bound % bound; /* 2^64 mod bound */
    do
        value = rand_u64();
    while (value < uneven);
    return value % bound;
}

void rand_text(char *out, size_t n)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    unsigned char bytes[64];
    size_t done = 0;

    while (done < n) {
        rand_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes && done < n; i++)
            if (bytes[i] < 252) /* 7 * 36: the rest would favour the first four characters */
                out[done++] = alphabet[bytes[i] % 36];
    }
    out[n] = '\0';
}
