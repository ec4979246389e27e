/* surface.c - one row a kind of call. */
#include "gateway/surface.h"

#include <assert.h>

static const struct surface_row rows[SURFACES] = {
    [SURFACE_CHAT] = {"chat", SURFACE_CHAT, "/v1/chat/completions", DIALECT_OPENAI_CHAT,
                      .has_output = true, .cap_field = "max_completion_tokens"},
    /* Who gives no cap here expects the few tokens that OpenAI gives. */
    [SURFACE_COMPLETIONS] = {"completions", SURFACE_COMPLETIONS, "/v1/completions",
                             DIALECT_OPENAI_COMPLETIONS, .has_output = true,
                             .cap_field = "max_tokens", .cap_default = 16},
    [SURFACE_EMBEDDINGS] = {"embeddings", SURFACE_EMBEDDINGS, "/v1/embeddings",
                            DIALECT_OPENAI_EMBEDDINGS, .has_output = false},
    [SURFACE_MESSAGES] = {"messages", SURFACE_CHAT, "/v1/messages", DIALECT_ANTHROPIC_MESSAGES,
                          .has_output = true, .cap_field = "max_tokens"},
};

const struct surface_row *surface_row(enum surface s)
{
    assert(s < SURFACES);
    return &rows[s];
}

bool surface_find(struct span name, enum surface *out)
{
    for (enum surface s = 0; s < SURFACES; s++) {
        if (rows[s].of == s && span_equal(name, span_of(rows[s].name))) {
            *out = s;
            return true;
        }
    }
    return false;
}
