/* openai_request.h - the caller's chat completion body, with what must differ upstream spliced into its own bytes. */
#ifndef TOLLGATE_BACKENDS_OPENAI_REQUEST_H
#define TOLLGATE_BACKENDS_OPENAI_REQUEST_H

#include "backends/kind.h"

/* Sets "model" to the backend's name, the output cap, and for a stream stream_options.include_usage to true; every other
 * byte stays. `*body` is the caller's own body when nothing had to change, else it points into `out`, which is initialised
 * here and cleared by the caller in either case. ERR_INPUT when stream_options is no object or names a member twice. */
bool openai_request_edit(const struct backend_request *request, struct buf *out, struct span *body,
                         struct err *err) MUST_USE;

#endif
