/* options_mistakes.h - what is wrong with a config: a sentence for each mistake, with its file and line. */
#ifndef TOLLGATE_GATEWAY_OPTIONS_MISTAKES_H
#define TOLLGATE_GATEWAY_OPTIONS_MISTAKES_H

#include "gateway/options.h"

struct options_mistakes {
    const struct options *options;
    const char *path; /* of the config */
    const struct conf_places *places;
    struct buf *problems; /* gets "file:line: sentence", without line where the default stands */
    size_t count;
};

/* `section`: the backend's title, or null. Without `option` the line is the section's. */
void options_mistake(struct options_mistakes *m, const char *section, const char *option,
                    const char *format, ...) PRINTF_LIKE(4, 5);

#endif
