/* anthropic_form.h - Anthropic's messages (API version 2023-06-01 and later), read and written: the functions of `anthropic_form`. */
#ifndef TOLLGATE_BACKENDS_ANTHROPIC_FORM_H
#define TOLLGATE_BACKENDS_ANTHROPIC_FORM_H

#include "backends/neutral.h"

bool anthropic_read_request(struct span body, struct neutral_request *out,
                            struct err *err) MUST_USE;
bool anthropic_write_request(const struct neutral_request *r, const struct neutral_frame *frame,
                             struct buf *out, struct neutral_places *places,
                             struct err *err) MUST_USE;
bool anthropic_read_reply(struct neutral_reader *reader, struct span body,
                          struct err *err) MUST_USE;
bool anthropic_read_event(struct neutral_reader *reader, struct span data,
                          struct err *err) MUST_USE;
bool anthropic_write_delta(struct neutral_writer *w, const struct neutral_delta *d,
                           struct err *err) MUST_USE;
void anthropic_write_end(struct neutral_writer *w, const struct usage *usage);

/* "rate_limit_error", …: the type that an error with this HTTP status has. */
const char *anthropic_error_type(unsigned status);
/* {"type":"error","error":{"type","message"},"request_id"}; without the last when it is null. `message` is a JSON string. */
void anthropic_write_error(unsigned status, struct span message, const char *request_id,
                           struct buf *out);

#endif
