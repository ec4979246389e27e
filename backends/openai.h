/* openai.h - any server that speaks OpenAI's chat completions over HTTP: OpenAI, Azure, vLLM, llama.cpp … */
#ifndef TOLLGATE_BACKENDS_OPENAI_H
#define TOLLGATE_BACKENDS_OPENAI_H

#include "backends/kind.h"

extern const struct backend_kind openai_kind;

#endif
