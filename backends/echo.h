/* echo.h - the built-in model: it answers the last user message word by word, a token a word. */
#ifndef TOLLGATE_BACKENDS_ECHO_H
#define TOLLGATE_BACKENDS_ECHO_H

#include "backends/kind.h"

extern const struct backend_kind echo_kind;

#endif
