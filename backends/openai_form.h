/* openai_form.h - OpenAI's chat completions, read and written: the functions of `openai_form`. */
#ifndef TOLLGATE_BACKENDS_OPENAI_FORM_H
#define TOLLGATE_BACKENDS_OPENAI_FORM_H

#include "backends/neutral.h"

bool openai_read_request(struct span body, struct neutral_request *out, struct err *err) MUST_USE;
bool openai_write_request(const struct neutral_request *r, const struct neutral_frame *frame,
                          struct buf *out, struct neutral_places *places, struct err *err) MUST_USE;
bool openai_read_reply(struct neutral_reader *reader, struct span body, struct err *err) MUST_USE;
bool openai_read_event(struct neutral_reader *reader, struct span data, struct err *err) MUST_USE;
bool openai_write_delta(struct neutral_writer *w, const struct neutral_delta *d,
                        struct err *err) MUST_USE;
void openai_write_end(struct neutral_writer *w, const struct usage *usage);
void openai_write_error(unsigned status, struct span message, const char *request_id,
                        struct buf *out);

#endif
