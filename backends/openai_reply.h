/* openai_reply.h - the plain answer of a chat completion, a completion or of embeddings, read whole from its bytes without a tree. */
#ifndef TOLLGATE_BACKENDS_OPENAI_REPLY_H
#define TOLLGATE_BACKENDS_OPENAI_REPLY_H

#include "backends/kind.h"
#include "lib/base/jscan.h"

struct openai_reply {
    unsigned
        refused_status; /* 0: an answer; else it is an error in spite of a good HTTP status: 400 to 599 */
    int64_t content;      /* choices that have any */
    bool usage_as_stated; /* false: the provider's numbers contradict each other */
};

/* What openai_reply_read() scans with. Between two answers it keeps nothing, so one serves every call of a process. */
struct jscan *openai_reply_scanner(void) MUST_USE;
/* ERR_PROTOCOL unless the body is one JSON object. Sets in `usage` what the provider states, else estimates the output; embeddings have none,
 * whatever is stated. */
bool openai_reply_read(struct jscan *scanner, enum dialect dialect, struct span body, struct openai_reply *out,
                       struct usage *usage, struct err *err) MUST_USE;

#endif
