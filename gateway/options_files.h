/* options_files.h - the files and directories that a config names, read and judged by the functions with which the
 * server's processes read them: what is good here cannot end a worker at its start. */
#ifndef TOLLGATE_GATEWAY_OPTIONS_FILES_H
#define TOLLGATE_GATEWAY_OPTIONS_FILES_H

#include "gateway/options_mistakes.h"

/* Certificate and key are read as who asks, the others as the options' user, when who asks is root. */
void options_files_check(struct options_mistakes *m);

#endif
