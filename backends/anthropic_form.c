/* anthropic_form.c - the row of Anthropic's messages. */
#include "backends/anthropic_form.h"

const struct neutral_form anthropic_form = {
    .id_prefix = "msg_",
    .read_request = anthropic_read_request,
    .write_request = anthropic_write_request,
    .read_reply = anthropic_read_reply,
    .read_event = anthropic_read_event,
    .write_delta = anthropic_write_delta,
    .write_end = anthropic_write_end,
    .write_error = anthropic_write_error,
};
