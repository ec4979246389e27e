/* mem.c - small memory that cannot be refused: without it the process could only limp, so it stops. */
#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p);

/* Not by calloc(): glibc's passes by the memory that this thread freed last, and makes freeing dear too. */
void *xcalloc(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return checked(NULL);
    return memset(checked(malloc(bytes ? bytes : 1)), 0, bytes);
}

void *xrealloc_array(void *p, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return checked(NULL);
    return checked(realloc(p, bytes ? bytes : 1));
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return checked(strndup(s, n));
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return checked(n < 0 ? NULL : text);
}

/* The message goes out by write(2): stdio and the log would allocate. */
static void *checked(void *p)
{
    static const char message[] = "{\"level\":\"error\",\"event\":\"out_of_memory\"}\n";

    if (p)
        return p;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
        _exit(134);
    abort();
}
