/* echo_prompt.h - what the echo model reads: how many words it was given, and the message it will repeat. */
#ifndef TOLLGATE_BACKENDS_ECHO_PROMPT_H
#define TOLLGATE_BACKENDS_ECHO_PROMPT_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct echo_prompt {
    int64_t input_words; /* of all messages: content strings and text parts */
    struct buf text;     /* of the last user message; empty when there is none */
};

/* ERR_INPUT with a sentence for the caller when the body is no chat completion request. */
bool echo_prompt_read(struct span body, struct echo_prompt *out, struct err *err) MUST_USE;
void echo_prompt_clear(struct echo_prompt *p);
DEFINE_AUTO_CLEAR(echo_prompt)

/* The next word of `text` from `at` on with the blanks around it, so that all of them joined are the text; empty when only
 * blanks are left, which the word before them has taken. A text of blanks has no words. */
struct span echo_next_word(struct span text, size_t at);
int64_t echo_count_words(struct span text);

#endif
