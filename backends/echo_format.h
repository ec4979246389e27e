/* echo_format.h - the echo model's answers in the exact shape of OpenAI's chat completions. Each appends to `out`. */
#ifndef TOLLGATE_BACKENDS_ECHO_FORMAT_H
#define TOLLGATE_BACKENDS_ECHO_FORMAT_H

#include "lib/base/buf.h"

struct echo_answer {
    char id[40];
    const char *model;
    int64_t created; /* seconds since 1970 */
    bool usage_wanted;
    int64_t choices;
    int64_t input_tokens, output_tokens;
    const char *finish_reason; /* "stop", "length" */
};

void echo_write_reply(const struct echo_answer *a, struct span text, struct buf *out);
/* Chunks of a stream, as whole events. */
void echo_write_role(const struct echo_answer *a, int64_t choice, struct buf *out);
void echo_write_word(const struct echo_answer *a, int64_t choice, struct span word,
                     struct buf *out);
void echo_write_finish(const struct echo_answer *a, int64_t choice, struct buf *out);
void echo_write_usage(const struct echo_answer *a, struct buf *out);
void echo_write_done(struct buf *out);
/* A refusal's body. */
void echo_write_error(const char *message, struct buf *out);

#endif
