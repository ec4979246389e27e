/* rand.h - the only source of randomness: the operating system's generator. Failure ends the process. */
#ifndef TOLLGATE_BASE_RAND_H
#define TOLLGATE_BASE_RAND_H

#include "lib/base/attr.h"

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);
uint64_t rand_below(uint64_t bound); /* uniform over 0 … bound-1 */
/* n characters of [0-9a-z] (about 5.17 bits each) and a NUL. */
void rand_text(char *out, size_t n);

#endif
