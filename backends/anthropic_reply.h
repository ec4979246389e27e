/* anthropic_reply.h - a plain message, read whole from its bytes without a tree. */
#ifndef TOLLGATE_BACKENDS_ANTHROPIC_REPLY_H
#define TOLLGATE_BACKENDS_ANTHROPIC_REPLY_H

#include "backends/openai_reply.h"

struct jscan *anthropic_reply_scanner(void) MUST_USE;
/* As openai_reply_read(). */
bool anthropic_reply_read(struct jscan *scanner, struct span body, struct openai_reply *out,
                          struct usage *usage, struct err *err) MUST_USE;

#endif
