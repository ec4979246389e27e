/* options_mistakes.c - where an option does not stand itself, its section's line is the nearest. */
#include "gateway/options_mistakes.h"

#include <stdarg.h>
#include <stdio.h>

void options_mistake(struct options_mistakes *m, const char *section, const char *option,
                     const char *format, ...)
{
    int line = conf_places_line(m->places, section, option);
    char text[512];
    va_list args;

    if (line == 0 && section)
        line = conf_places_line(m->places, section, NULL);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (line > 0)
        buf_printf(m->problems, "%s:%d: %s\n", m->path, line, text);
    else
        buf_printf(m->problems, "%s: %s\n", m->path, text);
    m->count++;
}
