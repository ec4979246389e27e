/* err.c - one code and one sentence, built without allocating: errors must work when memory is gone. */
#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum err_code code_of_errno(int sys);
static void put(struct err *err, enum err_code code, int sys, const char *text);

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(err, code, 0, text);
    return false;
}

bool err_sys(struct err *err, const char *format, ...)
{
    int sys = errno;
    char what[ERR_TEXT_MAX], reason[128], text[2 * ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", what, strerror_r(sys, reason, sizeof reason));
    put(err, code_of_errno(sys), sys, text);
    return false;
}

bool err_context(struct err *err, const char *format, ...)
{
    char context[ERR_TEXT_MAX], text[2 * ERR_TEXT_MAX + 4];
    va_list args;

    if (!err)
        return false;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", context, err->text);
    put(err, err->code, err->sys, text);
    return false;
}

/* `text` is never the old err->text: an argument of the caller may well have been. */
static void put(struct err *err, enum err_code code, int sys, const char *text)
{
    size_t len = strnlen(text, ERR_TEXT_MAX - 1);

    if (!err)
        return;
    err->code = code;
    err->sys = sys;
    memcpy(err->text, text, len);
    err->text[len] = '\0';
}

static enum err_code code_of_errno(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}
