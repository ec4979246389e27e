/* anthropic_answer_read.c - a message, whole or event by event, as deltas. Blocks and deltas of other types (signatures,
 * citations, what ran at the provider) have no place in the other dialect. */
#include "backends/anthropic_form.h"

#include "backends/neutral_write.h"
#include "lib/base/jview.h"

static bool read_block(struct neutral_reader *r, struct span block, struct err *err);
static bool read_input(struct neutral_reader *r, struct span input, struct err *err);
static bool begin_block(struct neutral_reader *r, struct span block, struct err *err);
static bool read_delta(struct neutral_reader *r, struct span delta, struct err *err);
static bool read_stop(struct neutral_reader *r, struct span reason, struct err *err);
static bool give_model(struct neutral_reader *r, struct span message, struct err *err);
static bool give_tool(struct neutral_reader *r, struct span block, struct err *err);
static bool give_text(struct neutral_reader *r, enum neutral_delta_kind kind, struct span text,
                      struct err *err);

bool anthropic_read_reply(struct neutral_reader *reader, struct span body, struct err *err)
{
    struct jview v = jview_of(jview_get(body, "content"));
    struct span block;

    if (!give_model(reader, body, err))
        return false;
    while (jview_item(&v, &block))
        if (!read_block(reader, block, err))
            return false;
    return read_stop(reader, jview_given(body, "stop_reason"), err);
}

static bool read_block(struct neutral_reader *r, struct span block, struct err *err)
{
    struct span type = jview_get(block, "type");

    if (jview_says(type, "text"))
        return give_text(r, DELTA_TEXT, jview_get(block, "text"), err);
    if (jview_says(type, "thinking"))
        return give_text(r, DELTA_REASONING, jview_get(block, "thinking"), err);
    if (jview_says(type, "tool_use"))
        return give_tool(r, block, err) && read_input(r, jview_get(block, "input"), err);
    return true;
}

/* An object becomes the text of one. */
static bool read_input(struct neutral_reader *r, struct span input, struct err *err)
{
    AUTO_CLEAR(buf) literal = {.max = 6 * input.len + 2};
    struct jw w;

    jw_init(&w, &literal);
    jw_span(&w, input.data ? input : SPAN("{}"));
    return buf_ok(&literal, "the arguments of a tool call", err) &&
           give_text(r, DELTA_ARGUMENTS, buf_span(&literal), err);
}

bool anthropic_read_event(struct neutral_reader *reader, struct span data, struct err *err)
{
    struct span type = jview_get(data, "type");

    if (jview_says(type, "message_start"))
        return give_model(reader, jview_get(data, "message"), err);
    if (jview_says(type, "content_block_start"))
        return begin_block(reader, jview_get(data, "content_block"), err);
    if (jview_says(type, "content_block_delta"))
        return read_delta(reader, jview_get(data, "delta"), err);
    if (jview_says(type, "message_delta"))
        return read_stop(reader, jview_given(jview_get(data, "delta"), "stop_reason"), err);
    reader->has_ended = jview_says(type, "message_stop");
    return true;
}

static bool begin_block(struct neutral_reader *r, struct span block, struct err *err)
{
    struct span type = jview_get(block, "type");

    if (jview_says(type, "tool_use"))
        return give_tool(r, block, err);
    return !jview_says(type, "text") || give_text(r, DELTA_TEXT, jview_get(block, "text"), err);
}

static bool read_delta(struct neutral_reader *r, struct span delta, struct err *err)
{
    static const struct {
        const char *type, *member;
        enum neutral_delta_kind kind;
    } rows[] = {{"text_delta", "text", DELTA_TEXT},
                {"thinking_delta", "thinking", DELTA_REASONING},
                {"input_json_delta", "partial_json", DELTA_ARGUMENTS}};
    struct span type = jview_get(delta, "type");

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jview_says(type, rows[i].type))
            return give_text(r, rows[i].kind, jview_get(delta, rows[i].member), err);
    return true;
}

static bool read_stop(struct neutral_reader *r, struct span reason, struct err *err)
{
    static const struct {
        const char *reason;
        enum neutral_finish finish;
    } rows[] = {{"max_tokens", FINISH_LENGTH},
                {"model_context_window_exceeded", FINISH_LENGTH},
                {"tool_use", FINISH_TOOLS},
                {"refusal", FINISH_REFUSAL}};
    struct neutral_delta d = {.kind = DELTA_FINISH, .finish = FINISH_STOP};

    if (!reason.data)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jview_says(reason, rows[i].reason))
            d.finish = rows[i].finish;
    return r->on_delta(r->arg, &d, err);
}

static bool give_model(struct neutral_reader *r, struct span message, struct err *err)
{
    struct neutral_delta d = {.kind = DELTA_BEGIN,
                              .name = jview_inside(jview_get(message, "model"))};

    return r->on_delta(r->arg, &d, err);
}

static bool give_tool(struct neutral_reader *r, struct span block, struct err *err)
{
    struct neutral_delta d = {.kind = DELTA_TOOL,
                              .id = jview_inside(jview_get(block, "id")),
                              .name = jview_inside(jview_get(block, "name"))};

    return r->on_delta(r->arg, &d, err);
}

static bool give_text(struct neutral_reader *r, enum neutral_delta_kind kind, struct span text,
                      struct err *err)
{
    struct neutral_delta d = {.kind = kind, .text = jview_inside(text)};

    return d.text.len == 0 || r->on_delta(r->arg, &d, err);
}
