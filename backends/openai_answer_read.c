/* openai_answer_read.c - the first choice of a chat completion, whole or chunk by chunk, as deltas. Servers differ in how they
 * number tool calls: most state an index, some only a new id. */
#include "backends/openai_form.h"

#include "lib/base/jview.h"
#include "lib/base/text.h"

static bool read_choice(struct neutral_reader *r, struct span choice, struct span message,
                        struct err *err);
static bool read_content(struct neutral_reader *r, struct span content, struct err *err);
static bool read_calls(struct neutral_reader *r, struct span calls, struct err *err);
static bool begins(const struct neutral_reader *r, struct span call, int64_t *index);
static bool read_finish(struct neutral_reader *r, struct span reason, struct err *err);
static bool give_text(struct neutral_reader *r, enum neutral_delta_kind kind, struct span text,
                      struct err *err);
static bool give(struct neutral_reader *r, const struct neutral_delta *d, struct err *err);

bool openai_read_reply(struct neutral_reader *reader, struct span body, struct err *err)
{
    struct jview v = jview_of(jview_get(body, "choices"));
    struct neutral_delta begin = {.kind = DELTA_BEGIN,
                                  .name = jview_inside(jview_get(body, "model"))};
    struct span choice;

    if (!jview_item(&v, &choice))
        return err_set(err, ERR_PROTOCOL, "the backend's answer has no choice");
    return give(reader, &begin, err) &&
           read_choice(reader, choice, jview_get(choice, "message"), err);
}

bool openai_read_event(struct neutral_reader *reader, struct span data, struct err *err)
{
    struct jview v = jview_of(jview_get(data, "choices"));
    struct neutral_delta begin = {.kind = DELTA_BEGIN,
                                  .name = jview_inside(jview_get(data, "model"))};
    struct span choice;

    reader->has_ended = span_equal(data, SPAN("[DONE]"));
    if (!jview_item(&v, &choice))
        return true;
    return give(reader, &begin, err) &&
           read_choice(reader, choice, jview_get(choice, "delta"), err);
}

/* What a model thinks comes before what it says, and that before what it does. */
static bool read_choice(struct neutral_reader *r, struct span choice, struct span message,
                        struct err *err)
{
    struct span reasoning = jview_given(message, "reasoning_content");

    if (!reasoning.data)
        reasoning = jview_given(message, "reasoning");
    return give_text(r, DELTA_REASONING, reasoning, err) &&
           read_content(r, jview_given(message, "content"), err) &&
           give_text(r, DELTA_TEXT, jview_given(message, "refusal"), err) &&
           read_calls(r, jview_given(message, "tool_calls"), err) &&
           read_finish(r, jview_given(choice, "finish_reason"), err);
}

static bool read_content(struct neutral_reader *r, struct span content, struct err *err)
{
    struct jview v = jview_of(content);
    struct span part;

    if (!jview_is_array(content))
        return give_text(r, DELTA_TEXT, content, err);
    while (jview_item(&v, &part))
        if (!give_text(r, DELTA_TEXT, jview_get(part, "text"), err))
            return false;
    return true;
}

static bool read_calls(struct neutral_reader *r, struct span calls, struct err *err)
{
    struct jview v = jview_of(calls);
    struct span call;
    int64_t index;

    while (jview_item(&v, &call)) {
        struct span function = jview_get(call, "function");

        if (begins(r, call, &index)) {
            struct neutral_delta begin = {.kind = DELTA_TOOL,
                                          .id = jview_inside(jview_get(call, "id")),
                                          .name = jview_inside(jview_get(function, "name"))};

            r->tool = index;
            r->tools++;
            if (!give(r, &begin, err))
                return false;
        } else if (index != r->tool) {
            return err_set(err, ERR_PROTOCOL,
                           "the backend goes on with a tool call after it began the next one");
        }
        if (!give_text(r, DELTA_ARGUMENTS, jview_given(function, "arguments"), err))
            return false;
    }
    return true;
}

/* Without an index a call begins where it is named. */
static bool begins(const struct neutral_reader *r, struct span call, int64_t *index)
{
    bool is_named = jview_inside(jview_get(jview_get(call, "function"), "name")).len > 0;

    if (!int64_parse(jview_get(call, "index"), index))
        *index = is_named ? r->tool + (r->tools > 0) : r->tool;
    return r->tools == 0 || *index > r->tool;
}

static bool read_finish(struct neutral_reader *r, struct span reason, struct err *err)
{
    static const struct {
        const char *reason;
        enum neutral_finish finish;
    } rows[] = {{"length", FINISH_LENGTH},
                {"tool_calls", FINISH_TOOLS},
                {"function_call", FINISH_TOOLS},
                {"content_filter", FINISH_REFUSAL}};
    struct neutral_delta d = {.kind = DELTA_FINISH, .finish = FINISH_STOP};

    if (!jview_inside(reason).len)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jview_says(reason, rows[i].reason))
            d.finish = rows[i].finish;
    return give(r, &d, err);
}

static bool give_text(struct neutral_reader *r, enum neutral_delta_kind kind, struct span text,
                      struct err *err)
{
    struct neutral_delta d = {.kind = kind, .text = jview_inside(text)};

    return d.text.len == 0 || give(r, &d, err);
}

static bool give(struct neutral_reader *r, const struct neutral_delta *d, struct err *err)
{
    return r->on_delta(r->arg, d, err);
}
