/* anthropic.c - the connections and calls are those of every HTTP backend; the dialect makes the difference. */
#include "backends/anthropic.h"

#include "backends/openai.h"
#include "backends/http_call.h"

static struct backend *anthropic_open(struct loop *loop, const struct backend_config *config,
                                      struct err *err)
{
    return openai_backend_open(&anthropic_kind, loop, config, err);
}

const struct backend_kind anthropic_kind = {
    .name = "anthropic",
    .about = "any server that speaks Anthropic's messages over HTTP or HTTPS",
    .speaks = 1u << DIALECT_ANTHROPIC_MESSAGES,
    .check = openai_backend_check,
    .open = anthropic_open,
    .free = openai_backend_free,
    .start = openai_backend_start,
    .pause = http_call_pause,
    .resume = http_call_resume,
    .cancel = http_call_cancel,
};
