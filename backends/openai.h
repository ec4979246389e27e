/* openai.h - any server that speaks OpenAI's chat completions over HTTP: OpenAI, Azure, vLLM, llama.cpp … */
#ifndef TOLLGATE_BACKENDS_OPENAI_H
#define TOLLGATE_BACKENDS_OPENAI_H

#include "backends/kind.h"

extern const struct backend_kind openai_kind;

/* What every kind that is reached over HTTP is made of; its dialects make the difference. */
bool openai_backend_check(const struct backend_config *config, const char **option,
                          struct err *err) MUST_USE;
struct backend *openai_backend_open(const struct backend_kind *kind, struct loop *loop,
                                    const struct backend_config *config, struct err *err) MUST_USE;
void openai_backend_free(struct backend *b);
struct backend_call *openai_backend_start(struct backend *b, const struct backend_request *request,
                                          const struct backend_handlers *handlers, void *arg,
                                          struct err *err) MUST_USE;

#endif
