/* openai_form.c - the row of OpenAI's chat completions. */
#include "backends/openai_form.h"

const struct neutral_form openai_form = {
    .id_prefix = "chatcmpl-",
    .read_request = openai_read_request,
    .write_request = openai_write_request,
    .read_reply = openai_read_reply,
    .read_event = openai_read_event,
    .write_delta = openai_write_delta,
    .write_end = openai_write_end,
    .write_error = openai_write_error,
};
