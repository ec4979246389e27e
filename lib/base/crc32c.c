/* crc32c.c - every journal frame is checked by it, so it uses the processor's instruction where there is one. */
#include "lib/base/crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) /* 0x1edc6f41, bits reversed */

static uint32_t update_by_tables(uint32_t crc, const unsigned char *bytes, size_t n);
static void make_tables(void);

/* tables[k][b] is the remainder of byte b followed by k zero bytes: eight bytes are looked up at once. */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
update_by_sse(uint32_t crc, const unsigned char *bytes, size_t n)
{
    uint64_t wide = crc, word;

    for (; n >= 8; n -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n > 0; n--)
        crc = __builtin_ia32_crc32qi(crc, *bytes++);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~update_by_sse(~crc, bytes, n);
#endif
    return crc32c_portable(crc, bytes, n);
}

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t n)
{
    pthread_once(&tables_once, make_tables);
    return ~update_by_tables(~crc, bytes, n);
}

static uint32_t update_by_tables(uint32_t crc, const unsigned char *bytes, size_t n)
{
    uint64_t word;

    for (; n >= 8; n -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        word = le64toh(word) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= tables[7 - i][word >> (8 * i) & 255];
    }
    for (; n > 0; n--)
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes++) & 255];
    return crc;
}

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][b] = crc;
    }
    for (unsigned k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 255];
}
