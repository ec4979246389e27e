/* crc32c.h - CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: "123456789" gives e3069283. */
#ifndef TOLLGATE_BASE_CRC32C_H
#define TOLLGATE_BASE_CRC32C_H

#include "lib/base/attr.h"

/* Start with 0; feed the result back in to go on. Uses SSE4.2 where the processor has it. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
/* The same by tables: what crc32c() does on other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t n);

#endif
