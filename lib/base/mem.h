/* mem.h - memory for small things whose size no peer can choose: running out of it ends the process.
 * What a peer can size lives in a `struct buf`. Free with free(). */
#ifndef TOLLGATE_BASE_MEM_H
#define TOLLGATE_BASE_MEM_H

#include <stdlib.h>

#include "lib/base/attr.h"

void *xcalloc(size_t count, size_t size) MUST_USE __attribute__((malloc));
void *xrealloc_array(void *p, size_t count, size_t size) MUST_USE;
char *xstrdup(const char *s) MUST_USE;
char *xstrndup(const char *s, size_t n) MUST_USE;
char *xasprintf(const char *format, ...) MUST_USE PRINTF_LIKE(1, 2);

/* AUTO_STRING s = xstrdup(…); is freed on every way out of the block. */
static inline UNUSED void mem_auto_string(char **p)
{
    free(*p);
}
#define AUTO_STRING __attribute__((cleanup(mem_auto_string))) char *

#endif
