/* anthropic.h - a server that speaks Anthropic's messages. Its url is the one that SDKs are given, with /v1. */
#ifndef TOLLGATE_BACKENDS_ANTHROPIC_H
#define TOLLGATE_BACKENDS_ANTHROPIC_H

#include "backends/kind.h"

extern const struct backend_kind anthropic_kind;

#endif
