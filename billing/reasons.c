/* reasons.c - refusals are collected rather than returned at the first, so that one look shows
 * all that must be done. */
#include "billing/reasons.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"

#define SENTENCE_MAX 1024

void reasons_clear(struct reasons *r)
{
    for (size_t i = 0; i < r->kept; i++)
        free(r->sentence[i]);
    *r = (struct reasons){0};
}

void reasons_add(struct reasons *r, const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list args;

    r->count++;
    if (r->kept == REASONS_MAX)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    r->sentence[r->kept++] = xstrdup(sentence);
}

void reasons_write(const struct reasons *r, struct jw *w)
{
    jw_array(w);
    for (size_t i = 0; i < r->kept; i++)
        jw_string(w, r->sentence[i]);
    jw_array_end(w);
}

bool reasons_none(const struct reasons *r, struct err *err)
{
    if (r->count == 0)
        return true;
    if (r->count == 1)
        return err_set(err, ERR_DENIED, "%s", r->sentence[0]);
    return err_set(err, ERR_DENIED, "%.*s (and %zu more)", ERR_TEXT_MAX - 40, r->sentence[0],
                   r->count - 1);
}
